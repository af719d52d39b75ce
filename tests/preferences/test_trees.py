"""Pairs made from trees; their numbers are worked by hand."""

from __future__ import annotations

import pytest
from helpers.search_toys import grown, record, roots, settings
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from eefcore.errors import ParamsError
from eefcore.preferences import trees as pairs
from eefcore.protocols import Reply
from eefcore.search import mcts
from eefcore.search.mcts import Proposal, StepResult
from eefcore.search.settings import Signal
from eefcore.search.tree import Simulation, Tree, new_tree
from eefcore.types import History, Step, StopReason


def proposal(action, q_hat, logps=(-0.5, -0.25)):
    return Proposal(Reply(action, (1,) * len(logps), logps), StepResult(f"page {action}"), q_hat=q_hat)


def tree(task="t", *, signal=Signal.REWARD, alpha=0.5) -> Tree:
    """Three siblings a, b, c of Q̂ 1, ½, 0, and under a two more, d and e."""
    t = new_tree(History(task, "page"), settings(alpha=alpha), signal, "me")
    mcts.expand(t, 0, [proposal("a", 1.0), proposal("b", 0.5), proposal("c", 0.0)])
    mcts.expand(t, 1, [proposal("d", 1.0), proposal("e", 0.0)])
    return t


def went(t, node, reward, *actions, stop=StopReason.DONE):
    """A simulation that left the tree at `node` and went on with `actions`."""
    steps = tuple(Step(f"page {a}", a, (9,), (-1.0,)) for a in actions)
    value = float(reward == 1.0)
    record(t, Simulation(node, "end", stop, value, steps, reward))


def worked() -> Tree:
    """a: Q̃ 2/3, N 3; b: Q̃ 0, N 2; c not visited; d: Q̃ 1, N 2; e: Q̃ 0, N 1."""
    t = tree()
    went(t, 4, 1.0, "win")
    went(t, 4, 1.0, "other", "win")
    went(t, 5, 0.25, "lose")
    went(t, 2, 0.5, "lose")
    went(t, 2, 0.0)
    assert list(mcts.contradictions(t)) == []
    return t


def sides(found):
    return [
        (p.chosen.trajectory.actions[p.chosen.first], p.rejected.trajectory.actions[p.rejected.first])
        for p in found
    ]


def outcomes(trees, **how):
    """Pairs of whatever the trees' simulations came to."""
    return pairs.outcome_pairs([t.trajectory(s) for t in trees for s in t.simulations], **how)


def test_pairs_of_explored_siblings_match_a_hand_computation():
    # Q: a ½·⅔ + ½ = .833, b ½·½ = .25, d 1, e 0
    found = pairs.node_pairs([worked()], theta=0.5)
    assert sides(found) == [("a", "b"), ("d", "e")]
    assert [p.margin for p in found] == [pytest.approx(5 / 6 - 1 / 4), 1.0]
    assert found[0].reason == "Q 0.83 (Q̃ 0.67 of 3, Q̂ 1.00) against Q 0.25 (Q̃ 0.00 of 2, Q̂ 0.50)"
    (first, second) = found
    assert (first.chosen.first, first.chosen.until, second.chosen.first, second.chosen.until) == (0, 1, 1, 2)
    assert second.chosen.trajectory.actions[:2] == ("a", "d")
    assert first.chosen_logps == first.rejected_logps == (-0.5, -0.25)


def test_to_be_read_a_pair_shows_the_best_of_the_chosen_and_the_worst_of_the_rejected():
    first, _ = pairs.node_pairs([worked()], theta=0.5)
    assert first.chosen.trajectory.win and first.chosen.trajectory.actions == ("a", "d", "win")
    assert not first.rejected.trajectory.win and first.rejected.trajectory.actions == ("b", "lose")


@pytest.mark.parametrize(
    "theta, min_visits, alpha, expected",
    [
        (0.6, 1, None, [("d", "e")]),
        (0.0, 2, None, [("a", "b")]),
        (0.0, 4, None, []),
        (0.0, 0, None, [("a", "b"), ("d", "e")]),  # what was never visited is not explored
        (0.65, 1, 1.0, [("a", "b"), ("d", "e")]),  # the outcome alone: ⅔ and 1
        (0.5, 1, 0.0, [("a", "b"), ("d", "e")]),  # the ranking alone: ½ and 1
    ],
)
def test_theta_visits_and_the_mixture_decide(theta, min_visits, alpha, expected):
    found = pairs.node_pairs([worked()], theta=theta, min_visits=min_visits, alpha=alpha)
    assert sides(found) == expected


def test_actions_of_equal_q_are_no_pair():
    t = tree(alpha=1.0)
    went(t, 2, 1.0)
    went(t, 3, 1.0)
    assert pairs.node_pairs([t], theta=0.0) == []


def test_a_pair_without_likelihoods_of_both_sides_stores_none():
    t = new_tree(History("t", "page"), settings(), Signal.REWARD)
    mcts.expand(t, 0, [proposal("a", 1.0), proposal("b", 0.0, ())])
    went(t, 1, 1.0)
    went(t, 2, 0.0)
    (found,) = pairs.node_pairs([t], theta=0.1)
    assert found.chosen_logps == found.rejected_logps == ()


def test_wins_against_losses_of_a_task():
    found = outcomes([worked()], most=100)
    assert len(found) == 2 * 3
    assert all(p.chosen.trajectory.win and not p.rejected.trajectory.win for p in found)
    assert {p.margin for p in found} == {0.75, 0.5, 1.0}
    whole = next(p for p in found if p.chosen.trajectory.actions == ("a", "d", "win"))
    assert whole.chosen_logps == (-0.5, -0.25, -0.5, -0.25, -1.0)
    assert (whole.chosen.first, whole.chosen.until) == (0, None)


def test_at_most_so_many_of_a_task_whatever_the_others_are():
    alone = outcomes([worked()], most=2, seed=3)
    assert len(alone) == 2
    other = tree("u")
    went(other, 1, 1.0)
    assert outcomes([other, worked()], most=2, seed=3) == alone
    assert {len(outcomes([worked()], most=2, seed=s)) for s in range(4)} == {2}


def test_two_trees_of_one_task_are_compared_and_equal_trajectories_count_once():
    assert outcomes([worked(), worked()], most=100) == outcomes([worked()], most=100)
    won, lost = tree(), tree()
    went(won, 1, 1.0)
    went(lost, 2, 0.0)
    (pair,) = outcomes([won, lost])
    assert (pair.chosen.trajectory.actions, pair.rejected.trajectory.actions) == (("a",), ("b",))


def test_trees_without_rewards_are_refused():
    t = tree(signal=Signal.CRITIC)
    record(t, Simulation(1, "end", StopReason.DONE, 1.0))
    record(t, Simulation(2, "end", StopReason.DONE, 0.0))
    with pytest.raises(ParamsError, match="has no reward"):
        pairs.node_pairs([t], theta=0.1)


@examples(max_examples=15, deadline=None)
@given(st.integers(0, 20), st.sampled_from([0.0, 0.2, 0.5]), st.integers(1, 3))
def test_pairs_of_grown_trees(seed, theta, visits):
    trees = grown(roots(seed=seed), 20)
    by_task = {t.task_id: t for t in trees}
    for pair in pairs.node_pairs(trees, theta=theta, min_visits=visits):
        assert pair.margin >= theta
        assert len(pair.chosen_logps) == len(pair.rejected_logps) == 2
        history = pair.chosen.trajectory.history.at(pair.chosen.first)
        t = by_task[history.task_id]
        node = next(k for k in range(len(t.nodes)) if t.history(k) == history)
        there = {e.reply.action: e for e in t.nodes[node].edges}
        better, worse = (there[s.trajectory.actions[s.first]] for s in (pair.chosen, pair.rejected))
        assert min(better.N, worse.N) >= visits
        assert mcts.mixed_q(better, 0.5) - mcts.mixed_q(worse, 0.5) == pair.margin
        assert pair.chosen_logps == better.reply.logps
    for pair in outcomes(trees):
        assert pair.margin > 0.0
