"""A failed expert's way as the main branch of a tree: laid before it grows, passed by who begins on it, learnt from."""

from __future__ import annotations

import msgspec
import pytest
from helpers.forests import played
from helpers.search_toys import CRITIC, HAT, Dice, grown, roots
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import ParamsError, ReplayMismatch
from eefcore.figures.tree import TreeView
from eefcore.preferences import trees
from eefcore.protocols import Reply
from eefcore.search import mcts
from eefcore.search.forest import search_cost
from eefcore.search.settings import Signal
from eefcore.search.tree import EdgeId, Tree
from eefcore.search.trunk import add_trunk
from eefcore.types import StopReason

LOST = played(HAT, "next", "back", "next", "buy blue hat")
TURNED_BACK = played(HAT, "next", "next", "back", "buy blue hat")  # the hat was there after two


def trunk(states=(1, 2), expert=LOST, **changes) -> Tree:
    (tree,) = roots([HAT], **changes)
    return add_trunk(tree, expert, states)


def only(action: str):
    return Dice(lambda h, s: Reply(action, (1, 2), (-0.1, -0.2)))


def test_it_is_one_visit_with_the_return_of_the_expert():
    tree = trunk()
    edges = [tree.edge(p) for p in tree.path(tree.trunk.node)]
    assert [(e.reply.action, e.N, e.total, e.proposals) for e in edges] == [
        (action, 1, 0.0, 0) for action in LOST.actions
    ]
    assert not [*mcts.contradictions(tree)] and tree.attempts == 0 and tree.simulations == []
    own = tree.trunk
    assert (tree.final_history(own), own.given, own.reward) == (LOST.history, len(LOST), LOST.reward)
    assert tree.nodes[-1].stop is StopReason.DONE and tree.nodes[-1].value == 0.0
    assert search_cost([tree], len).tokens_read == search_cost(roots([HAT]), len).tokens_read


@pytest.mark.parametrize("wave", [1, 3])
@given(n=st.integers(0, 24), seed=st.integers(0, 50))
def test_simulations_begin_at_its_states_in_turn(n, seed, wave):
    (tree,) = grown([trunk(seed=seed, wave=wave)], n)
    assert [s.given for s in tree.simulations] == [(0, 1, 0, 2)[i % 4] for i in range(n)]
    assert not [*mcts.contradictions(tree)] and tree.attempts == n
    for s in tree.simulations:
        τ = tree.trajectory(s)
        assert τ.n_expert == s.given and τ.actions[: s.given] == LOST.actions[: s.given]
        # What the policy did not propose it does not follow.
        assert all(tree.edge(p).proposals for p in tree.path(s.node)[s.given :])


def test_a_tree_with_one_goes_on_as_if_it_had_not_been_put_away():
    (half,) = grown([trunk()], 7)
    (half,) = grown([msgspec.json.decode(msgspec.json.encode(half), type=Tree)], 20)
    assert [half] == grown([trunk()], 20)


def test_a_proposal_with_the_effect_of_the_experts_action_is_that_action():
    (tree,) = grown([trunk()], 4, only("next"))
    first = tree.nodes[0]
    assert [(e.reply, e.proposals) for e in first.edges] == [(Reply("next"), 4)]
    asked = [node for node in tree.nodes if node.expanded]
    assert len(asked) > 2 and tree.tally.merged == 3 * len(asked)  # of the four proposals


def test_that_the_expert_failed_is_no_pair_and_what_the_policy_tried_beside_it_is():
    (tree,) = grown([trunk([2], TURNED_BACK)], 2, only(f"buy {HAT}"))
    assert [(e.reply.action, e.N) for e in tree.nodes[2].edges] == [("back", 1), (f"buy {HAT}", 1)]
    assert not trees.node_pairs([tree], theta=0.0)
    either = Dice(lambda h, s: Reply(f"buy {HAT}" if s.seed % 2 else "buy red hat", (1, 2), (-0.1, -0.2)))
    (tree,) = grown([trunk([2], TURNED_BACK, c_exp=9.0)], 12, either)
    (pair,) = [p for p in trees.node_pairs([tree], theta=0.25) if p.chosen.first == 2]
    assert pair.chosen.trajectory.actions == ("next", "next", f"buy {HAT}")
    assert pair.rejected.trajectory.actions[2] == "buy red hat" and pair.rejected_logps


def test_what_it_led_to_is_backed_up_through_it():
    (tree,) = grown([trunk([2], TURNED_BACK)], 2, only(f"buy {HAT}"))
    (expert, bought) = tree.nodes[0].edges
    assert (expert.N, expert.total) == (2, 1.0) and (bought.N, bought.total) == (1, 0.0)


def test_where_no_proposal_is_an_action_the_episode_ends_there():
    (tree,) = grown([trunk([2])], 4, Dice(lambda h, s: Reply("", (1,), (-0.1,), StopReason.MALFORMED)))
    assert [s.stop for s in tree.simulations] == [StopReason.MALFORMED] * 4 and not [
        *mcts.contradictions(tree)
    ]


def test_the_way_search_would_take_leaves_out_what_was_not_proposed():
    (tree,) = grown([trunk()], 9, only(f"buy {HAT}"))
    assert mcts.principal_path(tree, "visits")[0] == EdgeId(0, 1)
    view = TreeView(tree)
    assert "the expert's · N" in view.text and "the expert's · N" in view.svg


def test_an_expert_beyond_the_limit_of_actions():
    tree = trunk([1, 2, 3], max_turns=3)
    assert tree.starts == (0, 1, 0, 2)
    (tree,) = grown([tree], 9)
    assert not [*mcts.contradictions(tree)] and all(len(tree.trajectory(s)) <= 3 for s in tree.simulations)


def test_what_can_not_have_one_is_refused():
    (grew,), (blind,), (other,) = grown(roots([HAT]), 2), roots([HAT], Signal.CRITIC), roots(["red hat"])
    for tree in (grew, blind, other):
        with pytest.raises(ParamsError, match="a trunk needs a tree at s_0"):
            add_trunk(tree, LOST, [1])


def test_an_expert_of_another_world_is_noticed():
    steps = LOST.history.steps
    lie = msgspec.structs.replace(steps[2], observation="a page that is not there")
    history = msgspec.structs.replace(LOST.history, steps=(*steps[:2], lie, steps[3]))
    (tree,) = roots([HAT])
    with pytest.raises(ReplayMismatch):
        grown([add_trunk(tree, msgspec.structs.replace(LOST, history=history), [2])], 3, critic=CRITIC)
