"""What was trained on, which tasks are hard, and who solved what first."""

from __future__ import annotations

import math

import pytest
from helpers.episodes import BACK, CARD, NAIVE, NEXT, by_back, by_next, naive
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import CardMismatch
from eefcore.evaluation.panel import Evaluation
from eefcore.experts import collect
from eefcore.experts.registry import STEPS
from eefcore.experts.webshop import experts as shop
from eefcore.policies.scripted import ScriptedPolicy
from eefcore.reports import analysis
from eefcore.reports.analysis import ALONE, DEMONSTRATED, FirstSuccess, difficulty, win_rate_by_group
from eefcore.rollout.exploration import expert_starts
from eefcore.rollout.rollout import rollout
from eefcore.selection.algorithm import Repository, cloning_set, training_set
from eefcore.storage.records import write_records
from eefcore.storage.stage_inputs import StageInputs
from eefcore.types import Card, Example, History, Mistake, Step, StopReason, Trajectory


def episode(actions, n_expert=0, reward=1.0, task="t", **rest):
    steps = tuple(Step(f"o{i}", a) for i, a in enumerate(actions))
    return Trajectory(history=History(task, "end", steps), reward=reward, n_expert=n_expert, **rest)


def expert(actions, reward=0.0, task="t", source="strong", **rest):
    return episode(actions, len(actions), reward, task, source=source, **rest)


# What was trained on ------------------------------------------------------------------------------------

SLIP = (Mistake(2, "give_up"), Mistake(2, "overlook"), Mistake(3, "give_up"))
WON, LOST = expert("abcd", 1.0), expert("abcdef", 0.0, "u", marks=SLIP)


def values(row):
    return [getattr(row, name).value for name in ("actions", "expert", "mistakes", "lost")]


@pytest.mark.parametrize(
    "examples, expected",
    [
        # SFT ALL, SFT POS and NAT; a slip is an action, not a mark
        (cloning_set([WON, LOST], "all"), [10, 1.0, 2 / 10, 6 / 10]),
        (cloning_set([WON, LOST], "positive"), [4, 1.0, 0.0, 0.0]),
        (cloning_set([WON, LOST], "conditioned", win="w", loss="l"), [10, 1.0, 2 / 10, 6 / 10]),
        # EEF, from s_3 on and from s_4 on
        ([Example(episode("abcdXY", 4, task="u", marks=SLIP), 3)], [3, 1 / 3, 1 / 3, 0.0]),
        ([Example(episode("abcdXY", 4, task="u", marks=SLIP), 4)], [2, 0.0, 0.0, 0.0]),
        ([Example(LOST, 0, until=3)], [3, 1.0, 1 / 3, 1.0]),
        ([], [0, 0.0, 0.0, 0.0]),
    ],
)
def test_what_a_method_was_trained_on(examples, expected):
    row = analysis.training_set_shares("m", 1, [examples])
    assert (row.method, row.iteration) == ("m", 1) and values(row) == pytest.approx(expected)
    assert [row.mistakes.low, row.mistakes.high] == pytest.approx([expected[2]] * 2)  # known whole


def test_the_shares_of_an_iteration_are_means_over_its_seeds():
    row = analysis.training_set_shares("m", 2, [[Example(LOST)], [Example(WON), Example(LOST)]])
    assert row.iteration == 2
    assert values(row) == pytest.approx([8, 1.0, (2 / 6 + 2 / 10) / 2, (1 + 0.6) / 2])
    one_won = analysis.training_set_shares("m", 1, [[Example(WON)], [Example(LOST)]]).mistakes
    assert one_won.seeds == 2
    assert [one_won.value, one_won.low, one_won.high] == pytest.approx([1 / 6, 0.0, 2 / 6])


def test_marks_go_with_an_experts_actions_into_what_eef_trains(mini):
    """On a real shop: a simulation keeps the slips before its start and has none of its own."""
    experts = collect.demonstrations(mini, ["weak"], "train", seed=0)
    policy = ScriptedPolicy(shop.make_shopper(mini, "perfect").act, name="perfect")
    sims = rollout(policy, mini.make, expert_starts(experts, 4, 0.0, seed=0), max_turns=mini.max_turns)
    slipped = {t.task_id: {m.step for m in t.marks} for t in experts}
    for t in sims:
        assert {m.step for m in t.marks} == {i for i in slipped[t.task_id] if i < t.n_expert}
    tasks = mini.tasks("train")
    chosen = training_set(tasks, experts, sims, Repository([*experts, *sims]))
    eef, every, won = (
        analysis.training_set_shares("m", 1, [examples])
        for examples in (chosen.examples, cloning_set(experts, "all"), cloning_set(experts, "positive"))
    )
    assert eef.mistakes.value < every.mistakes.value > won.mistakes.value
    assert 0 < eef.expert.value < every.expert.value == 1.0 and eef.lost.value == won.lost.value == 0.0


# How hard a task is -------------------------------------------------------------------------------------


def test_difficulty_counts_the_actions_of_won_solutions():
    shown = [
        naive("lost"),
        naive("plain", 1.0),
        by_next("next"),
        by_back("back"),
        episode("x", 1.0, task="short"),
    ]
    assert difficulty(shown, STEPS) == {
        "plain": len(NAIVE) - 2,
        "next": len(NEXT) - 3,
        "back": len(BACK) - 3,
        "short": 1,
    }


def test_difficulty_by_a_measure_of_the_environments():
    last = STEPS._replace(name="last", value=lambda t: len(t.actions[-1]))
    shown = [episode("abc", reward=1.0, task="t"), episode("abc", reward=0.0, task="lost")]
    assert difficulty(shown, last) == {"t": 1}


def test_difficulty_of_a_generated_shop_is_what_it_was_made_for(mini):
    shown = collect.demonstrations(mini, ["perfect"], "train", seed=0)
    pages = {"direct": 1, "next": 2, "far": 3, "back": 1, "back_next": 2}
    kinds = shop.task_kinds(mini)
    (page,) = shop.EXPERTS.measures
    hard = difficulty(shown, page)
    assert hard == {task: pages[kinds[task]] for task in hard}
    assert set(hard) == set(mini.tasks("train"))


def test_win_rate_by_difficulty_over_seeds():
    good = [[episode("x", task=t) for t in "abcd"]] * 2
    runs = [[episode("x", reward=float(t in wins), task=t) for t in "abcd"] for wins in ("ab", "a")]
    expected = win_rate_by_group(
        {"a": 1, "b": 1, "c": 2},
        [Evaluation("good", CARD, tuple(good)), Evaluation("bad", CARD, tuple(runs))],
    )
    assert {m: {k: (e.value, e.n, e.seeds) for k, e in rates.items()} for m, rates in expected.items()} == {
        "good": {1: (1.0, 2, 2), 2: (1.0, 1, 2)},
        "bad": {1: (0.75, 2, 2), 2: (0.0, 1, 2)},
    }


# Who solved what first ----------------------------------------------------------------------------------

A, B = expert("abcd"), expert("abX", source="weak")
ROUNDS = [
    [A, B, expert("pq", 1.0, "shown")],
    [episode("y", reward=0.0), episode("abZ", 2), episode("o", task="own"), episode("abcZZ", 3)],
    [episode("z"), episode("abcZ", 3, task="late", source="tiny"), episode("o", task="shown")],
]


def test_the_first_success_and_where_it_came_from():
    assert analysis.first_successes(["t", "shown", "own", "never", "late"], ROUNDS) == {
        "t": FirstSuccess(1, "strong+weak", 2, 3),  # both acted so; fewer of their actions than abcZZ
        "shown": FirstSuccess(0, DEMONSTRATED, 2, 2),
        "own": FirstSuccess(1, ALONE, 0, 1),
        "never": None,
        "late": FirstSuccess(2, "", 3, 4),  # of an expert that is not in D_e
    }


def test_an_iteration_alone_comes_before_the_next():
    fewer_later = [[A], [episode("abcZ", 3)], [episode("z")]]
    assert analysis.first_successes(["t"], fewer_later) == {"t": FirstSuccess(1, "strong", 3, 4)}


def test_the_first_solvers_are_all_methods_of_the_earliest_iteration():
    early, late = FirstSuccess(1, "strong", 2, 4), FirstSuccess(2, ALONE, 0, 3)
    found = analysis.first_solvers(
        {
            "EEF": {"a": early, "b": early, "c": late, "d": None},
            "RFT": {"a": late, "b": FirstSuccess(1, ALONE, 0, 3), "c": None, "d": None},
        }
    )
    assert found == {"a": {"EEF"}, "b": {"EEF", "RFT"}, "c": {"EEF"}, "d": set()}
    assert analysis.first_solvers({}) == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("tu"),
            st.text("ab", min_size=1, max_size=4),
            st.integers(0, 4),
            st.sampled_from([0.0, 1.0]),
        ),
        max_size=9,
    ),
    st.integers(1, 3),
)
def test_a_task_is_solved_when_a_success_of_it_was_found(drawn, rounds):
    sims = [episode(a, min(n, len(a) - 1), r, t) for t, a, n, r in drawn]
    parts = [sims[i::rounds] for i in range(rounds)]
    firsts = analysis.first_successes("tu", [[], *parts])
    for task, first in firsts.items():
        won = [i for i, part in enumerate(parts, 1) if any(t.win and t.task_id == task for t in part)]
        assert (first.iteration if first else None) == (won[0] if won else None)


def test_a_failure_of_the_infrastructure_solves_nothing():
    spoilt = [[], [episode("ab", stop=StopReason.MODEL_FAILURE)]]
    assert analysis.first_successes(["t"], spoilt) == {"t": None}


# From a run's stages ------------------------------------------------------------------------------------


@pytest.fixture
def stages(tmp_path):
    """The folders of a method that simulated twice, as a report finds them."""
    wanted = {
        "EEF/experts": ("experts", [A, B]),
        "EEF/simulations2": ("simulations", [episode("z")]),
        "EEF/simulations10": ("simulations", [episode("y")]),
        "EEF 2/simulations3": ("simulations", [episode("x")]),  # another method's
    }
    folders = {}
    for name, (kind, records) in wanted.items():
        folders[name] = tmp_path / name.replace("/", "-")
        folders[name].mkdir()
        write_records(folders[name] / f"{kind}.jsonl", records, kind=kind, card=CARD)
    return StageInputs(folders).by_folder()["EEF"]


def test_a_method_is_read_in_the_order_of_its_iterations(stages):
    assert analysis.read_rounds(stages, CARD) == [[A, B], [episode("z")], [episode("y")]]


def test_another_environment_is_refused(stages):
    with pytest.raises(CardMismatch):
        analysis.read_rounds(stages, Card("elsewhere", {}))


def test_an_empty_training_set_has_no_unknown_share():
    row = analysis.training_set_shares("m", 1, [[]])
    assert not any(math.isnan(v) for v in values(row))
