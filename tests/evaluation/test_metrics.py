"""Metrics of trajectories and comparisons of methods, by hand."""

import math

import pytest
from helpers.episodes import CARD, episode, naive, spoilt

from eefcore.errors import CardMismatch
from eefcore.evaluation import stats
from eefcore.evaluation.metrics import compare, mean_reward, outcomes, win_rate, win_rate_by
from eefcore.evaluation.panel import Evaluation
from eefcore.types import Card, StopReason


def test_infrastructure_failures_leave_the_denominator_and_are_counted():
    run = [naive("a", 1.0), naive("b", 0.5), spoilt("c"), episode("d", (), 0.0, stop=StopReason.TURN_LIMIT)]
    assert win_rate(run) == (1 / 3, *stats.wilson(1, 3), 3, 1)
    assert mean_reward(run).value == pytest.approx(0.5)
    assert outcomes(run) == {"win": 1, "loss": 1, "model_failure": 1, "turn_limit": 1}


def test_seeds_are_averaged():
    rate = win_rate([naive("a", 1.0), naive("b")], [naive("b"), naive("a")])
    assert (rate.value, rate.n, rate.seeds) == (0.25, 2, 2)


def test_win_rate_by_difficulty():
    page = {"a": 1, "b": 1, "c": 2}
    by_page = win_rate_by(page, [naive("c"), naive("a", 1.0), naive("b")])
    assert {k: (e.value, e.n) for k, e in by_page.items()} == {1: (0.5, 2), 2: (0.0, 1)}
    assert list(by_page) == [1, 2]
    with pytest.raises(ValueError, match="no group, d is one"):
        win_rate_by(page, [naive("d")])


def test_compare_pairs_by_task():
    """Ten tasks; a wins eight alone, b two alone."""
    tasks = [f"t{i}" for i in range(10)]
    a = Evaluation("EEF", CARD, ([naive(t, float(i < 8)) for i, t in enumerate(tasks)],))
    b = Evaluation("RFT", CARD, ([naive(t, float(i >= 8)) for i, t in reversed(list(enumerate(tasks)))],))
    found = compare(a, b)
    assert found.wins.value == pytest.approx(0.6)
    assert found.wins.p == pytest.approx(stats.mcnemar(8, 2))
    assert found.reward.value == pytest.approx(0.6)
    assert found.needed_n == stats.needed_n(found.wins.value, 1.0)


def test_methods_are_compared_over_the_seeds_that_both_have():
    def e(method, *wins, seeds):
        runs = tuple([naive(f"t{i}", 1.0 if i < n else 0.5) for i in range(10)] for n in wins)
        return Evaluation(method, CARD, runs, seeds)

    a, b = e("a", 9, 6, 4, seeds=(0, 1, 2)), e("b", 1, 3, 0, seeds=(2, 1, 5))
    assert compare(a, b).wins.value == pytest.approx(((6 - 3) + (4 - 1)) / 20)
    assert compare(a, b).wins.seeds == 2
    with pytest.raises(ValueError, match=r"a has the seeds \(0, 1, 2\), c \(7,\), none in common"):
        compare(a, e("c", 3, seeds=(7,)))
    # Where one does not say which it has, they are taken in order, as ever.
    with pytest.raises(ValueError, match="can't be paired"):
        compare(a, b._replace(seeds=(), runs=b.runs[:2]))


def test_compare_refuses_different_cards_and_different_tasks():
    a = Evaluation("EEF", CARD, ([naive("a")],))
    with pytest.raises(CardMismatch, match="goals, products differ"):
        compare(
            a,
            Evaluation("RFT", Card(CARD.name, {**CARD.facts, "products": 1, "goals": "x"}), ([naive("a")],)),
        )
    with pytest.raises(ValueError, match="played 1 tasks, RFT 2, 1 in common"):
        compare(a, Evaluation("RFT", CARD, ([naive("a"), naive("b")],)))


def test_a_task_that_one_method_lost_to_the_infrastructure_counts_for_neither():
    a = Evaluation("EEF", CARD, ([naive("a", 1.0), naive("b", 1.0)],))
    b = Evaluation("RFT", CARD, ([spoilt("a"), naive("b")],))
    assert compare(a, b).wins.n == 1
    assert math.isnan(compare(a, Evaluation("RFT", CARD, ([spoilt("a"), spoilt("b")],))).wins.p)


def _width(interval) -> float:
    return interval.high - interval.low
