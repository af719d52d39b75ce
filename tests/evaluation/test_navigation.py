"""Navigation skills: of a history the actions that use them, by words alone or by what was seen."""

from __future__ import annotations

import pytest
from helpers.episodes import SKILLS, by_back, by_next, episode, naive

from eefcore.evaluation.metrics import navigation_rates
from eefcore.evaluation.navigation import skill_from_pattern, skills_by_action
from eefcore.types import History


def test_matching_names_the_actions_that_hold_the_pattern():
    history = History("t", "o").then("go north", "wall").then("look", "a room").then("go south", "a room")
    assert [*skill_from_pattern("^go ")(history)] == [0, 2]
    assert [*skill_from_pattern("north")(history.at(1))] == [0]
    assert not skill_from_pattern("^go ")(history.at(0)) and not skill_from_pattern("wall")(history)


def test_used_tells_of_each_action_its_skills_in_their_order():
    history = by_next("t").history
    go = {"any": skill_from_pattern(""), **SKILLS}
    assert skills_by_action(history, go) == [
        ("any", "Next") if i == 3 else ("any",) for i in range(len(history))
    ]
    assert skills_by_action(history.at(0), SKILLS) == []


def recovery(history: History) -> list[int]:
    """An action after which one is on page one again, having been on page two: told by what is seen."""
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
    told = navigation_rates({"recovery": recovery}, [episode("t", moves, 1.0, n_expert=n_expert)])
    assert told["recovery"].attempt.value == told["recovery"].success.value == attempts


def test_where_a_skill_is_used_is_told_by_index_and_not_by_words():
    assert {
        name
        for t in (naive("t"), by_back("t"))
        for names in skills_by_action(t.history, SKILLS)
        for name in names
    } == {"Back"}
