"""Navigation skills: the actions of a history that use them, by their words or by observations."""

from __future__ import annotations

import math

import pytest
from helpers.episodes import CARD, SKILLS, by_back, by_next, click, episode, naive, spoilt, think

from eefcore.evaluation import stats
from eefcore.evaluation.navigation import (
    navigation_rates,
    skill_from_pattern,
    skill_win_ratio,
    skills_by_action,
)
from eefcore.evaluation.panel import Evaluation
from eefcore.types import History


def test_a_skill_from_a_pattern_has_the_actions_that_match():
    history = History("t", "o").then("go north", "wall").then("look", "a room").then("go south", "a room")
    assert [*skill_from_pattern("^go ")(history)] == [0, 2]
    assert [*skill_from_pattern("north")(history.at(1))] == [0]
    assert not skill_from_pattern("^go ")(history.at(0)) and not skill_from_pattern("wall")(history)


def test_the_skills_of_each_action_are_in_the_order_of_the_benchmark():
    history = by_next("t").history
    go = {"any": skill_from_pattern(""), **SKILLS}
    assert skills_by_action(history, go) == [
        ("any", "Next") if i == 3 else ("any",) for i in range(len(history))
    ]
    assert skills_by_action(history.at(0), SKILLS) == []


def recovery(history: History) -> list[int]:
    """Return the actions that lead back from page two to page one, as the observations show."""
    seen = [*(s.observation for s in history.steps), history.observation]
    return [i for i in range(len(history)) if "Page 2" in seen[i] and "Page 2" not in seen[i + 1]]


@pytest.mark.parametrize("n_expert, attempts", [(0, 1.0), (4, 1.0), (5, 0.0), (6, 1.0)])
def test_a_skill_may_look_at_observations(n_expert, attempts):
    """a_4 leaves page two: it counts for whoever took it, and for an expert that acted to the end."""
    moves = [
        ("a", "Page 1"),
        ("b", "Page 2"),
        ("c", "Page 2"),
        ("d", "Page 2"),
        ("e", "Page 1"),
        ("f", "end"),
    ]
    rates = navigation_rates({"recovery": recovery}, [episode("t", moves, 1.0, n_expert=n_expert)])
    assert rates["recovery"].attempt.value == rates["recovery"].success.value == attempts


def test_a_repeated_action_uses_a_skill_only_where_the_skill_says_so():
    assert {
        name
        for t in (naive("t"), by_back("t"))
        for names in skills_by_action(t.history, SKILLS)
        for name in names
    } == {"Back"}


def test_navigation_counts_tasks_and_wins():
    """Four tasks: Next wins one and loses one, Back wins one. A thought about Next does not count."""
    run = [by_next("a"), by_next("b", 0.5), by_back("c"), naive("d")]
    assert "click Next" in naive("d").actions[2]
    skills = navigation_rates(SKILLS, run)
    assert [(s.success.value, s.attempt.value) for s in skills.values()] == [(0.25, 0.5), (0.25, 0.25)]
    assert skills["Next"].success == (0.25, *stats.wilson(1, 4), 4, 1)


@pytest.mark.parametrize("n_expert, attempts", [(0, 1.0), (3, 1.0), (4, 0.0), (8, 1.0)])
def test_only_the_actions_of_the_measured_agent_count(n_expert, attempts):
    """a_3 clicks Next: whoever acts from a_4 on did not use it; an expert that acts to the end did."""
    assert navigation_rates(SKILLS, [by_next("a", n_expert=n_expert)])["Next"].attempt.value == attempts


def test_the_win_ratio_of_two_methods_by_a_skill():
    a = Evaluation("a", CARD, ([by_next(f"t{i}", float(i < 6)) for i in range(10)],))
    b = Evaluation("b", CARD, ([by_next(f"t{i}", float(i < 2)) for i in range(9)] + [spoilt("t9")],))
    assert skill_win_ratio(a, b, SKILLS["Next"]).value == pytest.approx(3.0)
    assert skill_win_ratio(a, b, SKILLS["Next"]).n == 9  # where both could play
    assert math.isnan(skill_win_ratio(a, b, SKILLS["Back"]).value)


def test_an_action_that_only_quotes_a_button_does_not_use_its_skill():
    run = [episode("a", [(think('click["button": "Next'), "OK"), (click("Nextbook lamp"), "…")], 0.0)]
    assert (
        navigation_rates({"Next": skill_from_pattern(r'^click\["button": "Next( >)?"')}, run)[
            "Next"
        ].attempt.value
        == 0
    )
