"""Selection, expansion and back-up, worked by hand on trees of letters."""

from __future__ import annotations

import math

import msgspec
import pytest
from helpers.search_toys import CRITIC, grown, record, roots, settings

from eefcore.errors import ParamsError
from eefcore.protocols import Reply
from eefcore.search import mcts
from eefcore.search.mcts import Proposal, StepResult
from eefcore.search.settings import SearchSettings, Signal
from eefcore.search.tree import Edge, EdgeId, Simulation, Tree, copy_tree, new_tree
from eefcore.types import History, State, Step, StopReason


def proposals(**q_hat):
    """Actions by their letters, each leading to a page of its own; a capital letter ends the episode with reward 1."""
    return [
        Proposal(
            Reply(a, (i,), (-0.5,)),
            StepResult(f"page {a}", a.isupper(), 1.0 if a.isupper() else None),
            q_hat=q,
        )
        for i, (a, q) in enumerate(q_hat.items())
    ]


def tree(**changes):
    return new_tree(History("t", "page"), settings(**{"alpha": 0.5, "c_exp": 1.0} | changes), Signal.REWARD)


def simulated(tree, value, *, steps=(), **q_hat):
    """One simulation as `growth.add_result` adds it: select, expand the leaf, follow its best, back up."""
    node = mcts.select(tree).node
    if q_hat:
        mcts.expand(tree, node, proposals(**q_hat))
        edges = tree.nodes[node].edges
        node = edges[mcts.best_edge(edges, tree.settings)].child
    record(tree, Simulation(node, "end", StopReason.DONE, value, tuple(steps), value))
    return "".join(tree.edge(p).reply.action for p in tree.path(node))


def numbers(tree, node):
    return {e.reply.action: (e.N, e.total) for e in tree.nodes[node].edges}


# Golden: four simulations by hand, α = ½, c_exp = 1 -------------------------------------------------------


def test_four_simulations_match_a_hand_computation():
    t = tree()
    # N(h) = 0: no bonus, Q = ½ Q̂ = .5, .25, 0
    assert simulated(t, 0.0, a=1.0, b=0.5, c=0.0) == "a"
    # N(h) = 1, log 1 = 0: Q(a) = ½·0 + ½·1 = .5 still; its leaf gets d and e
    assert simulated(t, 1.0, d=1.0, e=0.0) == "ad"
    assert numbers(t, 0) == {"a": (2, 1.0), "b": (0, 0.0), "c": (0, 0.0)}
    # N(h) = 2: a: ½·½ + ½ + √(log 2 / 3) = 1.231; b: .25 + √log 2 = 1.083; then d: ½ + ½, e: 0
    root = t.nodes[0].edges
    assert mcts.ucb(root[0], 2, t.settings) == pytest.approx(0.75 + math.sqrt(0.693147 / 3), abs=1e-5)
    assert mcts.ucb(root[1], 2, t.settings) == pytest.approx(0.25 + math.sqrt(0.693147), abs=1e-5)
    assert simulated(t, 0.0, f=0.0, g=1.0) == "adg"
    # N(h) = 3: a: ½·⅓ + ½ + √(log 3 / 4) = 1.191; b: .25 + √log 3 = 1.298
    assert mcts.ucb(root[0], 3, t.settings) == pytest.approx(2 / 3 + 0.524077, abs=1e-5)
    assert mcts.ucb(root[1], 3, t.settings) == pytest.approx(0.25 + 1.048147, abs=1e-5)
    assert simulated(t, 1.0, h=1.0) == "bh"
    assert numbers(t, 0) == {"a": (3, 1.0), "b": (1, 1.0), "c": (0, 0.0)}
    assert numbers(t, 1) == {"d": (2, 1.0), "e": (0, 0.0)}
    assert [n.rollouts for n in t.nodes if n.rollouts] == [1, 1, 1, 1]
    assert list(mcts.contradictions(t)) == []


def test_the_outcome_alone_follows_the_ranking_only_where_nothing_else_tells():
    t = tree(alpha=1.0)
    assert simulated(t, 0.0, a=0.5, b=1.0, c=0.0) == "b"
    # All Q are 0 and log 1 = 0: of equals the least visited, and of those the better ranked
    assert simulated(t, 1.0, x=1.0) == "ax"
    # a: 1 + √(log 2/2), b: √(log 2/2), c: √log 2
    assert simulated(t, 1.0, y=1.0) == "axy"


def test_the_running_mean_of_eq_7_is_the_sum_by_the_count():
    t, returns, q = tree(c_exp=0.0), (1.0, 0.0, 1.0, 1.0, 0.0), 0.0
    for n, r in enumerate(returns):
        simulated(t, r, **({"A": 1.0} if n == 0 else {}))
        q = (q * n + r) / (n + 1)
        assert mcts.mean_return(t.nodes[0].edges[0]) == pytest.approx(q)
    assert numbers(t, 0) == {"A": (5, 3.0)}


def test_eq_9_mixes_the_mean_return_with_the_ranking_of_the_critic():
    edge = Edge(reply=Reply("a"), child=1, N=4, total=3.0, q_hat=0.25)
    assert mcts.mixed_q(edge, 0.8) == pytest.approx(0.8 * 0.75 + 0.2 * 0.25)
    assert (mcts.mixed_q(edge, 1.0), mcts.mixed_q(edge, 0.0)) == (0.75, 0.25)
    assert mcts.mean_return(Edge(reply=Reply("a"), child=1)) == 0.0


def test_a_discount_counts_the_actions_from_an_edge_to_the_end():
    t = tree(discount=0.5)
    simulated(t, 0.0, a=1.0)
    simulated(t, 1.0, steps=(Step("o", "x"), Step("o", "y")), b=1.0)
    # a, b, x, y: three actions after a, two after b
    assert numbers(t, 0) == {"a": (2, 0.125)} and numbers(t, 1) == {"b": (1, 0.25)}
    assert list(mcts.contradictions(t)) == []


def test_simulations_under_way_count_as_lost_visits():
    t = tree(alpha=1.0)
    simulated(t, 1.0, a=1.0, b=0.0)
    one = mcts.select(t)
    assert one.path == (EdgeId(0, 0),)
    # One more: a has ½ + √(log 2 / 3) = .981, b √log 2 = .833. Three more: ¼ + √(log 4 / 5) = .777, √log 4 = 1.177
    in_flight = {EdgeId(0, 0): 1}
    assert mcts.ucb(t.nodes[0].edges[0], 2, t.settings, 1) == pytest.approx(0.5 + math.sqrt(math.log(2) / 3))
    assert mcts.select(t, in_flight).path == (EdgeId(0, 0),)
    assert mcts.select(t, {EdgeId(0, 0): 3}).path == (EdgeId(0, 1),)
    assert numbers(t, 0) == {"a": (1, 1.0), "b": (0, 0.0)}  # nothing of it stays


# Leaves and ends -----------------------------------------------------------------------------------------


def test_selection_stops_at_an_unexpanded_final_or_deepest_node():
    t = tree(depth=1)
    assert mcts.expandable(t, mcts.select(t))
    simulated(t, 1.0, A=1.0, b=0.0)
    ended = mcts.select(t)
    assert (t.nodes[ended.node].stop, mcts.expandable(t, ended)) == (StopReason.DONE, False)
    deep = mcts.Selection((EdgeId(0, 1),), 2)
    assert t.nodes[2].stop is None and not mcts.expandable(t, deep)


def test_an_episode_that_ends_at_the_turn_limit_returns_0():
    t = tree(max_turns=2)
    simulated(t, 0.0, a=1.0)
    assert t.nodes[1].stop is None
    simulated(t, 0.0, b=1.0, C=0.0)
    b, c = t.nodes[2], t.nodes[3]
    assert (b.stop, b.value, b.reward) == (StopReason.TURN_LIMIT, 0.0, None)
    assert (c.stop, c.value, c.reward) == (
        StopReason.DONE,
        1.0,
        1.0,
    )  # what the environment ended is no limit


@pytest.mark.parametrize("by, reward, value", [("win", 0.75, 0.0), ("reward", 0.75, 0.75), ("win", 1.0, 1.0)])
def test_the_return_of_an_episode_is_its_win_or_its_reward(by, reward, value):
    assert mcts.episode_return(reward, settings(by=by)) == value


def test_histories_and_paths_are_put_together_with_their_tokens():
    t = tree()
    simulated(t, 0.0, a=0.0, b=1.0)
    simulated(t, 0.0, c=1.0)
    history = t.history(3)
    assert history.state == State("t", ("b", "c"))
    assert history.steps == (Step("page", "b", (1,), (-0.5,)), Step("page b", "c", (0,), (-0.5,)))
    assert history.observation == "page c" and t.path(3) == (EdgeId(0, 1), EdgeId(2, 0))


def test_a_root_may_be_in_the_middle_of_an_episode():
    root = History("t", "page").then("x", "later")
    t = new_tree(root, settings(max_turns=3), Signal.REWARD)
    simulated(t, 1.0, A=1.0)
    assert t.trajectory(t.simulations[0]).n_expert == 1
    assert t.trajectory(t.simulations[0]).actions == ("x", "A")
    with pytest.raises(ParamsError, match="nothing to search within max_turns 1"):
        new_tree(root, settings(max_turns=1), Signal.REWARD)


def test_selection_starts_at_the_present_node_and_returns_are_backed_up_to_the_root():
    t = tree()
    simulated(t, 1.0, a=1.0, b=0.0)
    t.at = 2  # b, which selection would not have chosen
    assert simulated(t, 0.0, c=1.0) == "bc"
    assert numbers(t, 0) == {"a": (1, 1.0), "b": (1, 0.0)}
    assert list(mcts.contradictions(t)) == []


# What search takes ----------------------------------------------------------------------------------------


def edges(*rows):
    nodes = roots()[0]
    mcts.expand(nodes, 0, [Proposal(Reply(a), StepResult(a), q_hat=q) for a, _, _, q in rows])
    for edge, (_, n, total, _) in zip(nodes.nodes[0].edges, rows, strict=True):
        edge.N, edge.total = n, total
    return nodes


def test_the_most_visited_or_the_best_action_is_taken():
    t = edges(("a", 5, 1.0, 0.0), ("b", 2, 2.0, 0.5), ("c", 0, 0.0, 1.0))
    assert (mcts.choose_action(t, "visits"), mcts.choose_action(t, "value")) == (0, 1)
    assert mcts.choose_action(edges(("a", 2, 0.0, 0.0), ("b", 2, 1.0, 0.0)), "visits") == 1
    assert (
        mcts.choose_action(edges(("a", 0, 0.0, 0.0), ("b", 0, 0.0, 1.0)), "visits") == 1
    )  # nothing but the ranking
    assert mcts.choose_action(roots()[0], "visits") is None
    with pytest.raises(ParamsError, match="expected visits or value"):
        mcts.choose_action(t, "luck")


def test_the_principal_line_ends_where_nothing_was_visited():
    t = tree()
    for moves in ({"a": 1.0, "b": 0.5}, {"c": 1.0}):
        simulated(t, 1.0, **moves)
    assert [t.edge(p).reply.action for p in mcts.principal_path(t, "visits")] == ["a", "c"]


# What can't be -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        ({"K": 0}, "K 0, expected at least 1"),
        ({"alpha": 1.5}, "alpha 1.5, expected 0 to 1"),
        ({"discount": 0.0}, "discount 0.0, expected above 0"),
        ({"depth": 0}, "depth 0"),
        ({"wave": 0}, "wave 0"),
        ({"c_exp": -1.0}, "c_exp -1.0"),
        ({"by": "luck"}, "by 'luck', expected win or reward"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ParamsError, match=message):
        SearchSettings(max_turns=5, **change)


def test_the_place_of_a_contradiction_in_a_tree_is_named():
    def broken(change):
        (t,) = grown(roots(("green hat",)), 6)
        change(t)
        return " | ".join(mcts.contradictions(t))

    def lost(t):
        t.simulations.pop()

    def moved(t):
        t.nodes[0].edges[0].child = 0

    def counted(t):
        t.nodes[0].edges[0].N += 1

    def paid(t):
        t.nodes[0].edges[0].total += 0.25

    def rewarded(t):
        t.signal, t.nodes[1].reward = Signal.CRITIC, 1.0

    assert broken(lambda t: None) == ""
    assert "rollouts, but" in broken(lost)
    assert "edge 0.0: its child 0 says it comes from -1.-1" in broken(moved)
    assert "edge 0.0: N" in broken(counted)
    assert "edge 0.0: returns of" in broken(paid)
    assert "node 1: a reward in a tree that was to see none" in broken(rewarded)


def test_a_tree_is_a_line_of_json_that_does_not_repeat_its_histories():
    (t,) = grown(roots(("green hat",)), 30, critic=CRITIC)
    line = msgspec.json.encode(t)
    assert msgspec.json.decode(line, type=Tree) == t
    assert b"\n" not in line
    deepest = max(range(len(t.nodes)), key=lambda k: len(t.path(k)))
    assert len(t.path(deepest)) >= 3
    # The root's page is written twice: by `root`, and by node 0.
    assert line.count(t.root.observation.encode()) == 2


def test_a_copy_is_grown_without_the_original():
    (t,) = grown(roots(("green hat",)), 4)
    before = msgspec.json.encode(t)
    again = copy_tree(t)
    simulated(again, 1.0)
    assert again != t and msgspec.json.encode(t) == before
