"""The trees of a stage and their trunks, search on a panel, pairs of tried actions, the critic against outcomes."""

from __future__ import annotations

import math

import hypothesis
import msgspec
import pytest
from helpers.byte_tokenizer import byte_tokenizer
from helpers.forests import CARD, TOYS, played
from helpers.search_toys import CRITIC, HAT, Dice, grown, roots, settings
from helpers.sft_runs import tiny
from helpers.toy_shop import TASKS
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import ParamsError, ReplayMismatch
from eefcore.figures.tree import TreeView
from eefcore.preferences import replay_buffer
from eefcore.preferences import trees as pairs
from eefcore.protocols import Reply
from eefcore.rendering.formats import TurnFormat
from eefcore.rendering.renderer import Renderer
from eefcore.search import calibration, forest, mcts, test_time
from eefcore.search.calibration import ExploredEdge
from eefcore.search.settings import Signal
from eefcore.search.tree import EdgeId, Tree
from eefcore.storage.records import write_records
from eefcore.training import references
from eefcore.types import Example, History, Preference, StopReason, Trajectory


def growing(to, some):
    return grown(list(some), to)


# ------------------------------------------------------------------------------ where trees begin


def test_a_failed_expert_is_the_main_branch_within_the_same_budget():
    lost = played(HAT, "next", "back", "next", "buy blue hat")
    won = played(TASKS[0], f"buy {TASKS[0]}")
    again = played(HAT, "back", "next", "buy red hat")
    new_trees = forest.plant_trees(TOYS, [HAT, TASKS[0]], [lost, won, again], settings(), M=2, source="dice")
    assert [(t.task_id, t.starts) for t in new_trees] == [
        (HAT, (0, 1, 0, 2)),
        (HAT, (0, 1, 0, 2)),
        (TASKS[0], ()),
    ]
    trees = forest.grow_trees(new_trees, 10, growing)
    assert [t.attempts for t in trees] == [5, 5, 10]
    assert {s.n_expert for s in forest.trajectories(trees) if s.task_id == HAT} == {0, 1, 2}
    alone = forest.plant_trees(TOYS, [HAT], [lost], settings(), M=0, source="dice")
    assert [t.attempts for t in forest.grow_trees(alone, 10, growing)] == [10]


def test_counts_of_trees_agree_with_their_simulations():
    trees = grown(roots(TASKS[:3], K=4), 6)
    counts = forest.count_trees(trees, 0.5)
    won = [[s.reward == 1.0 for s in t.simulations] for t in trees]
    assert (counts.trees, counts.simulations, counts.agreement) == (3, 18, 0.5)
    assert counts.solved == sum(map(any, won)) / 3 and counts.first == sum(w[0] for w in won) / 3
    assert counts.depth == sum(max(len(t.path(k)) for k in range(len(t.nodes))) for t in trees) / 3
    curve = forest.pass_at(trees, range(1, 7))
    assert (
        curve[1] == counts.first and curve[6] == counts.solved and sorted(curve.values()) == [*curve.values()]
    )
    assert curve[4] == sum(any(w[:4]) for w in won) / 3
    assert forest.illustrative_tree(trees) in trees


# ------------------------------------------------------------------------------ search on a panel


def search(how="mcts", signal=Signal.CRITIC, n=12, **changes):
    return test_time.SearchMethod(
        how=how, signal=signal, simulations=n, by="visits", settings=settings(K=8, **changes), slots=8
    )


class Measured(Dice):
    def length(self, history):
        return len(history)


@pytest.mark.parametrize("how", ["mcts", "best_of"])
@pytest.mark.parametrize("signal", Signal)
def test_search_wins_more_tasks_than_random_actions(how, signal):
    heard = []
    done = test_time.play_with_search(
        TOYS, TASKS[2:5], Measured(), CRITIC, search(how, signal, 40), kept_trees=1, on_episodes=heard.append
    )
    assert sum(d.trajectory.win for d in done) >= 2 and heard == [3]
    assert [d.tree is not None for d in done] == [how == "mcts", False, False]
    assert all(d.cost.episodes >= 40 and d.cost.env_steps > 40 for d in done)
    assert [msgspec.json.decode(msgspec.json.encode(d), type=test_time.SearchedEpisode) for d in done] == done


def test_results_of_a_search_that_saw_the_reward_have_another_card():
    assert test_time.search_card(CARD, Signal.CRITIC) == CARD
    assert test_time.search_card(CARD, Signal.REWARD).key != CARD.key


@pytest.mark.parametrize("how, says", [("beams", "choose beam, best_of or mcts"), ("beam", "has none")])
def test_an_unknown_search_and_beams_without_a_model_are_refused(how, says):
    with pytest.raises(ParamsError, match=says):
        test_time.play_with_search(TOYS, TASKS[:1], Measured(), CRITIC, search(how), kept_trees=0)


def test_best_of_by_the_critic_needs_a_critic():
    with pytest.raises(ParamsError, match="needs one"):
        test_time.play_with_search(TOYS, TASKS[:1], Measured(), None, search("best_of"), kept_trees=0)


# ------------------------------------------------------------------------------ pairs


def leave(folder, trees):
    """What a stage of search leaves."""
    write_records(folder / "trees.jsonl", trees, kind="trees", card=CARD)
    simulated = forest.trajectories(trees)
    write_records(folder / "simulations.jsonl", simulated, kind="trajectories", card=CARD)
    return folder


@pytest.fixture
def left(tmp_path):
    trees = grown(roots(TASKS, K=5), 20)
    return leave(tmp_path, trees), trees


def drawn(folder, kind, most, *earlier):
    return replay_buffer.replay_pairs(
        [folder, *earlier], CARD, kind=kind, theta=0.0, min_visits=1, alpha=None, most=most, seed=0
    )


def test_the_buffer_has_the_pairs_of_trees_and_simulations(left):
    folder, trees = left
    assert drawn(folder, "node", None) == pairs.node_pairs(trees, theta=0.0)
    assert drawn(folder, "trajectory", 3) == pairs.outcome_pairs(
        [t.trajectory(s) for t in trees for s in t.simulations], most=3
    )
    with pytest.raises(ParamsError, match="choose node or trajectory"):
        drawn(folder, "beneficial", None)
    with pytest.raises(ParamsError, match="most 0, expected at least 1"):
        drawn(folder, "node", 0)


def test_of_too_many_pairs_of_a_task_the_widest_are_kept(left):
    folder, _ = left
    every, some = drawn(folder, "node", None), drawn(folder, "node", 2)
    assert len(some) < len(every) and [p for p in every if p in some] == some
    for task in {p.chosen.trajectory.task_id for p in every}:
        mine, kept = ([p.margin for p in of if p.chosen.trajectory.task_id == task] for of in (every, some))
        assert sorted(kept) == sorted(mine)[-2:]


@pytest.mark.parametrize("kind", ["node", "trajectory"])
def test_pairs_of_earlier_rounds_follow_and_have_an_age(left, tmp_path_factory, kind):
    folder, _ = left
    before = leave(tmp_path_factory.mktemp("before"), grown(roots(TASKS, K=5, seed=1), 20))
    alone, older = drawn(folder, kind, None), drawn(before, kind, None)
    both = drawn(folder, kind, None, before)
    assert [p for p in both if not p.age] == alone and {p.age for p in alone} == {0}
    again = [msgspec.structs.replace(p, age=0) for p in both if p.age == 1]
    assert again and [p for p in older if p in again] == again
    assert [msgspec.json.decode(msgspec.json.encode(p), type=Preference) for p in both] == both
    of_task = [p.chosen.trajectory.task_id for p in drawn(folder, kind, 1, before)]
    assert 1 < max(map(of_task.count, of_task)) == 2, "as many of each round"


def test_of_two_rounds_that_compare_the_same_actions_the_newer_counts(left):
    folder, _ = left
    assert drawn(folder, "node", None, folder, folder) == drawn(folder, "node", None)
    known = drawn(folder, "node", None)
    turned = [msgspec.structs.replace(p, chosen=p.rejected, rejected=p.chosen) for p in known]
    assert {replay_buffer._compared(p) for p in turned} == {replay_buffer._compared(p) for p in known}


def test_sampled_sides_keep_the_likelihoods_they_were_written_with_and_others_are_scored():
    renderer = Renderer(byte_tokenizer(), TurnFormat("plain", prompt="", first="{}|", then="{}|", end="."))
    start = History("t", "o")

    def of(*actions, logps):
        def side(action):
            ids = renderer.ids(action + ".")
            step = (ids, (-0.25,) * len(ids)) if logps else ((), ())
            return Trajectory(history=start.then(action, "p", *step), reward=1.0)

        one, other = map(side, actions)
        told = {}
        if logps:
            told = {
                "chosen_logps": one.history.steps[0].logps,
                "rejected_logps": other.history.steps[0].logps,
            }
        return Preference(chosen=Example(one), rejected=Example(other), margin=1.0, **told)

    sampled, written = of("run", "nap", logps=True), of("fly", "sit", logps=False)
    scorer = references.ReferenceModel(tiny(), renderer, batch_tokens=99, bf16=False)
    kept, refused = references.add_reference_logps([written, sampled], scorer, context=99, keep_sampled=True)
    assert (kept[0], refused) == (sampled, 0)
    assert len(kept[1].chosen_logps) == 4 and kept[1].chosen == written.chosen
    kept, refused = references.add_reference_logps([written, sampled], scorer, context=3, keep_sampled=True)
    assert (kept, refused) == ([], 2)


# ------------------------------------------------------------------------------ the critic against what was found


def test_critic_agreement_and_reliability_match_a_hand_computation():
    found = [
        ExploredEdge(0.0, 0.1, 1),
        ExploredEdge(0.5, 0.2, 1),
        ExploredEdge(1.0, 0.9, 3),
        ExploredEdge(1.0, 0.5, 1),
    ]
    assert calibration.agreement(found[:3]) == pytest.approx(1.0)
    assert math.isnan(calibration.agreement(found[:2])) and math.isnan(calibration.agreement(found[2:] * 2))
    assert calibration.reliability(found, bins=2) == [
        (0.0, 0.1, 1),
        (pytest.approx(2.5 / 3), pytest.approx((0.2 + 2.7 + 0.5) / 5), 3),
    ]


# ------------------------------------------------------------------------------ a failed expert as trunk

LOST = played(HAT, "next", "back", "next", "buy blue hat")
TURNED_BACK = played(HAT, "next", "next", "back", "buy blue hat")  # the hat was there after two


def trunk(states=(1, 2), expert=LOST, **changes) -> Tree:
    (tree,) = roots([HAT], **changes)
    return forest.add_trunk(tree, expert, states)


def only(action: str):
    return Dice(lambda h, s: Reply(action, (1, 2), (-0.1, -0.2)))


def test_a_trunk_is_one_visit_with_the_return_of_the_expert():
    tree = trunk()
    edges = [tree.edge(p) for p in tree.path(tree.trunk.node)]
    assert [(e.reply.action, e.N, e.total, e.proposals) for e in edges] == [
        (action, 1, 0.0, 0) for action in LOST.actions
    ]
    assert not [*mcts.contradictions(tree)] and tree.attempts == 0 and tree.simulations == []
    own = tree.trunk
    assert (tree.final_history(own), own.given, own.reward) == (LOST.history, len(LOST), LOST.reward)
    assert tree.nodes[-1].stop is StopReason.DONE and tree.nodes[-1].value == 0.0
    assert forest.search_cost([tree], len).tokens_read == forest.search_cost(roots([HAT]), len).tokens_read


@pytest.mark.parametrize("wave", [1, 3])
@hypothesis.settings(deadline=None)
@given(n=st.integers(0, 24), seed=st.integers(0, 50))
def test_simulations_begin_at_the_states_of_the_trunk_in_turn(n, seed, wave):
    (tree,) = grown([trunk(seed=seed, wave=wave)], n)
    assert [s.given for s in tree.simulations] == [(0, 1, 0, 2)[i % 4] for i in range(n)]
    assert not [*mcts.contradictions(tree)] and tree.attempts == n
    for s in tree.simulations:
        τ = tree.trajectory(s)
        assert τ.n_expert == s.given and τ.actions[: s.given] == LOST.actions[: s.given]
        # What the policy did not propose it does not follow.
        assert all(tree.edge(p).proposals for p in tree.path(s.node)[s.given :])


def test_a_saved_tree_with_a_trunk_continues_as_if_it_had_not_stopped():
    (half,) = grown([trunk()], 7)
    (half,) = grown([msgspec.json.decode(msgspec.json.encode(half), type=Tree)], 20)
    assert [half] == grown([trunk()], 20)


def test_a_proposal_with_the_effect_of_the_experts_action_is_that_action():
    (tree,) = grown([trunk()], 4, only("next"))
    first = tree.nodes[0]
    assert [(e.reply, e.proposals) for e in first.edges] == [(Reply("next"), 4)]
    asked = [node for node in tree.nodes if node.expanded]
    assert len(asked) > 2 and tree.tally.merged == 3 * len(asked)  # of the four proposals


def test_actions_of_the_trunk_make_no_pair_and_actions_of_the_policy_beside_it_do():
    (tree,) = grown([trunk([2], TURNED_BACK)], 2, only(f"buy {HAT}"))
    assert [(e.reply.action, e.N) for e in tree.nodes[2].edges] == [("back", 1), (f"buy {HAT}", 1)]
    assert not pairs.node_pairs([tree], theta=0.0)
    either = Dice(lambda h, s: Reply(f"buy {HAT}" if s.seed % 2 else "buy red hat", (1, 2), (-0.1, -0.2)))
    (tree,) = grown([trunk([2], TURNED_BACK, c_exp=9.0)], 12, either)
    (pair,) = [p for p in pairs.node_pairs([tree], theta=0.25) if p.chosen.first == 2]
    assert pair.chosen.trajectory.actions == ("next", "next", f"buy {HAT}")
    assert pair.rejected.trajectory.actions[2] == "buy red hat" and pair.rejected_logps


def test_returns_are_backed_up_through_the_trunk():
    (tree,) = grown([trunk([2], TURNED_BACK)], 2, only(f"buy {HAT}"))
    (expert, bought) = tree.nodes[0].edges
    assert (expert.N, expert.total) == (2, 1.0) and (bought.N, bought.total) == (1, 0.0)


def test_where_no_proposal_is_an_action_the_episode_ends_there():
    (tree,) = grown([trunk([2])], 4, Dice(lambda h, s: Reply("", (1,), (-0.1,), StopReason.MALFORMED)))
    assert [s.stop for s in tree.simulations] == [StopReason.MALFORMED] * 4 and not [
        *mcts.contradictions(tree)
    ]


def test_the_principal_path_leaves_out_actions_that_the_policy_did_not_propose():
    (tree,) = grown([trunk()], 9, only(f"buy {HAT}"))
    assert mcts.principal_path(tree, "visits")[0] == EdgeId(0, 1)
    view = TreeView(tree)
    assert "the expert's · N" in view.text and "the expert's · N" in view.svg


def test_an_expert_beyond_the_limit_of_actions():
    tree = trunk([1, 2, 3], max_turns=3)
    assert tree.starts == (0, 1, 0, 2)
    (tree,) = grown([tree], 9)
    assert not [*mcts.contradictions(tree)] and all(len(tree.trajectory(s)) <= 3 for s in tree.simulations)


def test_a_tree_that_can_have_no_trunk_is_refused():
    (grew,), (blind,), (other,) = grown(roots([HAT]), 2), roots([HAT], Signal.CRITIC), roots(["red hat"])
    for tree in (grew, blind, other):
        with pytest.raises(ParamsError, match="a trunk needs a tree at s_0"):
            forest.add_trunk(tree, LOST, [1])


def test_an_expert_of_another_world_is_refused():
    steps = LOST.history.steps
    lie = msgspec.structs.replace(steps[2], observation="a page that is not there")
    history = msgspec.structs.replace(LOST.history, steps=(*steps[:2], lie, steps[3]))
    (tree,) = roots([HAT])
    with pytest.raises(ReplayMismatch):
        grown([forest.add_trunk(tree, msgspec.structs.replace(LOST, history=history), [2])], 3, critic=CRITIC)
