"""Trees that grow side by side equal trees that grow alone, that were saved in between, or that were killed."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest
from helpers.search_toys import (
    FAILED,
    HAT,
    MALFORMED,
    Dice,
    ScriptedCritic,
    Sealed,
    SealedShop,
    grown,
    roots,
    thrown,
)
from helpers.toy_shop import TASKS, ToyShop, shopper
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from eefcore.errors import ParamsError, ReplayMismatch, SimulatorError, StoreError
from eefcore.policies.scripted import ScriptedPolicy
from eefcore.protocols import Reply
from eefcore.search import growth, mcts
from eefcore.search.forest import search_cost
from eefcore.search.settings import Signal
from eefcore.search.tree import Edge, Node, Tree
from eefcore.storage.journal import Journal
from eefcore.types import History, StopReason

few = examples(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
SETTINGS = {
    "K": st.integers(1, 6),
    "wave": st.integers(1, 5),
    "depth": st.sampled_from([None, 1, 2]),
    "alpha": st.sampled_from([0.0, 0.5, 1.0]),
    "discount": st.sampled_from([0.5, 1.0]),
    "by": st.sampled_from(["win", "reward"]),
    "max_turns": st.integers(1, 8),
    "seed": st.integers(0, 5),
    "merge": st.booleans(),
}
any_settings = st.fixed_dictionaries(SETTINGS)
any_signal = st.sampled_from(Signal)


def line(trees: list[Tree]) -> bytes:
    return msgspec.json.encode(trees)


# By hand --------------------------------------------------------------------------------------------------


def test_a_deterministic_policy_grows_a_chain():
    """The shopper goes next, next, and buys: K equal proposals are one edge, and each simulation a node deeper."""
    (tree,) = grown(roots((HAT,), K=3, alpha=0.5), 4, ScriptedPolicy(shopper, "toy"))
    assert tree.nodes == [
        Node(f"buy a {HAT}. red hat, red sock", edges=[edge("next", 1, 4)]),
        Node("blue hat, blue sock", 0, 0, [edge("next", 2, 3)], rollouts=1),
        Node("green hat, green sock", 1, 0, [edge(f"buy {HAT}", 3, 2)], rollouts=1),
        Node("bye", 2, 0, stop=StopReason.DONE, reward=1.0, value=1.0, rollouts=2),
    ]
    assert [(s.node, tuple(x.action for x in s.steps)) for s in tree.simulations] == [
        (1, ("next", f"buy {HAT}")),
        (2, (f"buy {HAT}",)),
        (3, ()),
        (3, ()),
    ]
    # 3 expansions of 3 questions, each tried once; rollouts of 2, 1 and 0 turns
    took = tree.tally
    assert (took.asked, took.proposals, took.merged, took.env_steps) == (9 + 3, 9, 6, 3 + 3)
    assert all(tree.trajectory(s).win for s in tree.simulations)
    assert tree.trajectory(tree.simulations[0]).source == "dice"


def edge(action, child, n):
    return Edge(reply=Reply(action), child=child, proposals=3, N=n, total=float(n), q_hat=1.0)


def test_proposals_of_one_effect_are_one_edge():
    said = iter(["dance", "sing", "next", "Think[a]", "Think[b]", "Think[a]", "buy red hat", "buy red sock"])

    def say(history, sampling):
        return Reply(next(said, "buy red hat"))

    (tree,) = grown(roots((HAT,), K=8, alpha=1.0), 1, Dice(say), None)
    # "what?" is what dancing and singing lead to; thoughts are told apart by their words, purchases by reward and page
    assert [(e.reply.action, e.proposals) for e in tree.nodes[0].edges] == [
        ("dance", 2),
        ("next", 1),
        ("Think[a]", 2),
        ("Think[b]", 1),
        ("buy red hat", 2),
    ]
    assert (tree.tally.proposals, tree.tally.merged) == (8, 3)


def test_without_merging_only_equal_texts_are_one_edge():
    said = ["dance", "sing", "next", "Think[a]", "Think[b]", "Think[a]", "buy red hat", "buy red sock"]
    asked = iter(said)

    def say(history, sampling):
        return Reply(next(asked, "buy red hat"))

    (tree,) = grown(roots((HAT,), K=8, alpha=1.0, merge=False), 1, Dice(say), None)
    assert [(e.reply.action, e.proposals) for e in tree.nodes[0].edges] == [
        (action, said.count(action)) for action in dict.fromkeys(said)
    ]
    assert (tree.tally.proposals, tree.tally.merged) == (8, 1)


def test_without_merging_simulations_are_spent_on_actions_that_do_the_same():
    """Two ways to do nothing: merged, the third simulation tries the other action; unmerged, the second way."""

    def say(history, sampling):
        return Reply(("dance", "sing", "next")[sampling.seed % 3])

    def tried(**changes):
        (tree,) = grown(roots((HAT,), K=12, alpha=1.0, max_turns=2, **changes), 3, Dice(say), None)
        return {e.reply.action for e in tree.nodes[0].edges if e.N}

    assert "next" in tried() and not {"dance", "sing"} <= tried()
    assert {"dance", "sing", "next"} == tried(merge=False)


# Properties -----------------------------------------------------------------------------------------------


@few
@given(any_settings, any_signal, st.integers(1, 25))
def test_counts_and_means(changes, signal, to):
    for tree in grown(roots(signal=signal, **changes), to):
        assert list(mcts.contradictions(tree)) == []
        assert len(tree.simulations) == tree.attempts == to
        assert mcts.visits(tree.nodes[0]) + tree.nodes[0].rollouts == to
        # Where nothing is proposed at the root, simulations begin there and pass no edge.
        began = [s for s in tree.simulations if s.node]
        actions = [len(tree.path(s.node)) + len(s.steps) for s in began]
        returns = [s.value * tree.settings.discount ** (n - 1) for s, n in zip(began, actions, strict=True)]
        assert sum(e.total for e in tree.nodes[0].edges) == pytest.approx(sum(returns))
        for k, node in enumerate(tree.nodes):
            assert sum(e.proposals for e in node.edges) in (0, tree.settings.K)
            assert len({(e.reply.action) for e in node.edges}) == len(node.edges)
            assert tree.settings.depth is None or len(tree.path(k)) <= tree.settings.depth
            assert len(tree.history(k)) <= tree.settings.max_turns
            for e in node.edges:
                assert 0.0 <= mcts.mean_return(e) <= 1.0
                assert 0.0 <= mcts.mixed_q(e, tree.settings.alpha) <= 1.0


@few
@given(any_settings, any_signal, st.integers(0, 4), st.integers(0, 3))
def test_a_saved_tree_that_continues_ends_the_same(changes, signal, first, second):
    wave = changes["wave"]
    trees = roots(signal=signal, **changes)
    once = grown(trees, (first + second) * wave)
    saved = line(grown(trees, first * wave))
    assert line(grown(msgspec.json.decode(saved, type=list[Tree]), (first + second) * wave)) == line(once)


@few
@given(
    any_settings,
    any_signal,
    st.integers(1, 4),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)
def test_trees_grown_side_by_side_equal_trees_grown_alone(
    changes, signal, sessions, at_once, reverse, single
):
    trees = roots(signal=signal, **changes)
    alone = [tree for t in trees for tree in grown([t], 12)]
    policy = Dice(reverse=reverse, single=single)
    together = grown(trees, 12, policy, sessions=sessions, at_once=at_once)
    assert line(together) == line(alone)
    assert policy.most <= sessions * at_once


def test_a_replay_on_a_new_environment_shows_the_pages_of_the_tree():
    for tree in grown(roots(), 30):
        for simulation in tree.simulations:
            shop, ended = ToyShop(), tree.final_history(simulation)
            seen = [shop.reset(tree.task_id)]
            for action in ended.actions:
                seen.append(shop.step(action).observation)
            assert seen == [*(s.observation for s in ended.steps), ended.observation]


def test_a_wave_is_simulated_together_and_of_different_leaves():
    policy = Dice()
    grown(roots((HAT,), wave=6, K=6), 18, policy, sessions=12)
    one = Dice()
    grown(roots((HAT,), wave=1, K=6), 18, one, sessions=12)
    assert one.most == 6 < policy.most
    (tree,) = grown(roots((HAT,), wave=6, K=6), 1, sessions=12)
    leaves = growth.next_wave(tree, 100)
    assert len(leaves) > 1 and len({s.node for s in leaves}) == len(leaves)
    assert len(growth.next_wave(tree, 3)) <= 2


def test_the_model_never_waits_for_one_tree():
    """With one answer at a time, the policy has a question of every tree that is not done, whenever it is asked."""
    counts = []

    class Watched(Dice):
        def answers(self):
            counts.append(len(self._open))
            return super().answers()

    grown(roots(TASKS), 6, Watched(single=True), sessions=1)
    # A tree that has nothing to ask is done: the number of questions only ever falls, from all trees to none.
    assert counts == sorted(counts, reverse=True) and (counts[0], counts[-1]) == (len(TASKS), 0)


def test_each_session_is_closed_once():
    policy = Dice()
    grown(roots(), 10, policy, at_once=2)
    assert len(policy.closed) == len(set(policy.closed)) == 3


def test_progress_is_reported_after_each_wave():
    counts = []
    grown(roots(), 7, on_simulations=counts.append)
    assert sum(counts) == 21


# Signals --------------------------------------------------------------------------------------------------


@few
@given(any_settings)
def test_a_search_by_the_critic_reads_no_reward(changes):
    blind = roots(signal=Signal.CRITIC, **changes)
    sealed = grown(blind, 15, make_env=SealedShop)
    assert line(sealed) == line(grown(blind, 15))
    assert b'"reward":' not in line(sealed)


def test_reading_a_sealed_reward_fails():
    with pytest.raises(AssertionError, match="the reward was"):
        grown(roots(), 15, make_env=SealedShop)
    with pytest.raises(AssertionError, match="the reward was read"):
        _ = Sealed("bye", 1.0, True).reward


def test_a_search_by_the_critic_does_not_see_the_last_page_either():
    class Receipt(ToyShop):
        def step(self, action):
            seen = super().step(action)
            return seen._replace(observation=f"Your score: {seen.reward}") if seen.done else seen

    assert line(grown(roots(signal=Signal.CRITIC), 15, make_env=Receipt)) == line(
        grown(roots(signal=Signal.CRITIC), 15)
    )
    assert b"Your score" in line(grown(roots(), 15, make_env=Receipt))


def test_the_critics_verdict_stands_for_the_reward_and_is_asked_once_an_end():
    judged = []

    def solved(history):
        judged.append(history.actions)
        return history.actions[-1] == f"buy {history.task_id}"

    trees = grown(roots(signal=Signal.CRITIC), 40, critic=ScriptedCritic(lambda *_: 0.0, solved))
    played = [s for t in trees for s in t.simulations if s.stop is StopReason.DONE]
    ends = [n for t in trees for n in t.nodes if n.stop is StopReason.DONE and n.value is not None]
    assert len(judged) == len(ends) + sum(bool(s.steps) for s in played) < len(played)
    assert {s.value for s in played} == {0.0, 1.0} and {s.reward for s in played} == {None}
    (tree, *_) = trees
    with pytest.raises(ParamsError, match="grown by the critic alone and has no reward"):
        tree.trajectory(tree.simulations[0])


@pytest.mark.parametrize("signal, alpha", [(Signal.CRITIC, 1.0), (Signal.REWARD, 0.5)])
def test_a_search_that_needs_a_critic_refuses_to_run_without_one(signal, alpha):
    with pytest.raises(ParamsError, match="need a critic"):
        grown(roots(signal=signal, alpha=alpha), 1, critic=None)


def test_without_a_critic_nothing_is_ranked():
    (tree,) = grown(roots((HAT,), alpha=1.0), 10, critic=None)
    assert {e.q_hat for n in tree.nodes for e in n.edges} == {0.5}


# What goes wrong ------------------------------------------------------------------------------------------


def test_lost_proposals_are_left_out_and_counted():
    def say(history, sampling):
        reply = thrown(history, sampling)
        return FAILED if sampling.seed % 3 == 0 else MALFORMED if sampling.seed % 3 == 1 else reply

    trees = grown(roots(), 30, Dice(say))
    assert trees
    for tree in trees:
        took = tree.tally
        assert list(mcts.contradictions(tree)) == [] and took.failed and took.lost and took.malformed
        assert len(tree.simulations) + took.failed == tree.attempts == 30
        assert not any(s.stop.infrastructure for s in tree.simulations)
        edges = [e for n in tree.nodes for e in n.edges]
        assert sum(e.proposals for e in edges) == took.proposals - took.lost - took.malformed
        assert all(e.reply.stop is None for e in edges)


def test_a_model_that_never_answers_leaves_a_tree_without_simulations():
    (tree,) = grown(roots((HAT,)), 5, Dice(lambda *_: FAILED))
    assert (tree.simulations, len(tree.nodes), tree.tally.failed, tree.attempts) == ([], 1, 5, 5)


def test_a_node_without_a_usable_proposal_ends_the_episode():
    (tree,) = grown(roots((HAT,)), 5, Dice(lambda *_: MALFORMED))
    assert (tree.nodes[0].stop, tree.nodes[0].value) == (StopReason.MALFORMED, 0.0)
    assert [s.stop for s in tree.simulations] == [StopReason.MALFORMED] * 5
    assert tree.tally.asked == 4  # K, and never again


def test_a_simulator_that_breaks_spoils_one_simulation():
    calls = iter(range(10_000))

    class Breaks(ToyShop):
        def step(self, action):
            if next(calls) % 17 == 16:
                raise SimulatorError("gone")
            return super().step(action)

    (tree,) = grown(roots((HAT,)), 40, make_env=Breaks)
    assert list(mcts.contradictions(tree)) == []
    assert tree.tally.failed > 0 and len(tree.simulations) == 40 - tree.tally.failed


def test_an_environment_that_differs_from_the_tree_is_refused():
    class Renovated(ToyShop):
        def _shelf(self):
            return super()._shelf().upper()

    with pytest.raises(ReplayMismatch, match="was it recorded in another version"):
        grown(roots(), 1, make_env=Renovated)


def test_a_tree_that_contradicts_itself_is_not_grown():
    (tree,) = grown(roots((HAT,)), 4)
    tree.nodes[0].edges[0].N += 1
    with pytest.raises(StoreError, match=r"green hat: a tree that contradicts itself: edge 0\.0: N"):
        grown([tree], 5)


# Irreversible actions -------------------------------------------------------------------------------------


def test_purchases_are_rehearsed_in_snapshots_and_nowhere_else():
    class Unguarded(ToyShop):
        def irreversible(self, action):
            return False

    trees = grown(roots(), 30)
    for tree in trees:
        assert tree.tally.irreversible > 0 and tree.tally.violations == 0
    assert [t.nodes for t in trees] == [t.nodes for t in grown(roots(), 30, make_env=Unguarded)]


# Killed ---------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


def test_growth_that_was_killed_at_any_question_ends_the_same(tmp_path):
    trees = roots(wave=2)
    whole = grown(trees, 10)
    policy, kills = None, 0
    while True:
        left = iter(range(45 + 15 * kills))

        def say(history, sampling, left=left):
            if next(left, None) is None:
                raise Killed
            return thrown(history, sampling)

        policy = Dice(say)
        try:
            ended = in_rounds(tmp_path, trees, policy)
        except Killed:
            kills += 1
            continue
        break
    assert kills >= 2
    assert line(ended) == line(whole)
    assert line(in_rounds(tmp_path, trees, Dice(lambda *_: pytest.fail("asked again")))) == line(whole)


def in_rounds(folder, trees, policy):
    """The trees grown to 4, 8 and 10 simulations, a journal for each."""
    for to in (4, 8, 10):
        journal = Journal(folder / f"trees.{to}.jsonl", Tree, "toy")
        trees = journal.run(trees, 2, partial(grown, to=to, policy=policy))
    return trees


# Cost -----------------------------------------------------------------------------------------------------


def test_a_page_is_read_once_for_all_simulations_that_pass_it():
    (tree,) = grown(roots((HAT,), K=3), 4, ScriptedPolicy(shopper, "toy"))

    def length(history: History) -> int:
        return 10 * (len(history) + 1)  # ten tokens a page, none an action

    spent = search_cost([tree], length)
    # The root, next, next and the end once in the tree; the first rollout reads two pages on, the second one.
    assert spent.tokens_read == 40 + 20 + 10
    assert (spent.episodes, spent.env_steps, spent.tokens_written) == (4, 6, 0)
    dice = grown(roots(), 10)
    assert search_cost(dice, length).tokens_written == sum(2 * t.tally.asked for t in dice)


def test_new_trees_stand_at_the_start_of_each_task():
    class Shops:
        make = staticmethod(ToyShop)

    trees = growth.new_trees(Shops(), TASKS[:2], roots()[0].settings, Signal.REWARD, source="me")
    assert [(t.task_id, t.source, len(t.nodes)) for t in trees] == [
        ("red hat", "me", 1),
        ("red sock", "me", 1),
    ]
    assert trees[0].nodes[0].observation == "buy a red hat. red hat, red sock"
