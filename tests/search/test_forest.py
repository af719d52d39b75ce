"""The trees of a stage, search on a panel, pairs from what was tried, and the critic held against outcomes."""

from __future__ import annotations

import math

import msgspec
import pytest
from helpers.byte_tokenizer import byte_tokenizer
from helpers.forests import CARD, TOYS, played
from helpers.search_toys import CRITIC, HAT, Dice, grown, roots, settings
from helpers.sft_runs import tiny
from helpers.toy_shop import TASKS

from eefcore.errors import ParamsError
from eefcore.preferences import replay_buffer
from eefcore.preferences import trees as pairs
from eefcore.rendering.formats import TurnFormat
from eefcore.rendering.renderer import Renderer
from eefcore.search import calibration, forest, test_time
from eefcore.search.calibration import ExploredEdge
from eefcore.search.settings import Signal
from eefcore.storage.records import write_records
from eefcore.training import references
from eefcore.types import Example, History, Preference, Trajectory


def growing(to, some):
    return grown(list(some), to)


# ------------------------------------------------------------------------------ where trees are new_tree


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


def test_what_trees_came_to():
    trees = grown(roots(TASKS[:3], K=4), 6)
    told = forest.count_trees(trees, 0.5)
    won = [[s.reward == 1.0 for s in t.simulations] for t in trees]
    assert (told.trees, told.simulations, told.agreement) == (3, 18, 0.5)
    assert told.solved == sum(map(any, won)) / 3 and told.first == sum(w[0] for w in won) / 3
    assert told.depth == sum(max(len(t.path(k)) for k in range(len(t.nodes))) for t in trees) / 3
    curve = forest.pass_at(trees, range(1, 7))
    assert curve[1] == told.first and curve[6] == told.solved and sorted(curve.values()) == [*curve.values()]
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
def test_search_wins_more_than_dice(how, signal):
    heard = []
    done = test_time.play_with_search(
        TOYS, TASKS[2:5], Measured(), CRITIC, search(how, signal, 40), kept_trees=1, on_episodes=heard.append
    )
    assert sum(d.trajectory.win for d in done) >= 2 and heard == [3]
    assert [d.tree is not None for d in done] == [how == "mcts", False, False]
    assert all(d.cost.episodes >= 40 and d.cost.env_steps > 40 for d in done)
    assert [msgspec.json.decode(msgspec.json.encode(d), type=test_time.SearchedEpisode) for d in done] == done


def test_numbers_that_saw_the_reward_are_under_another_card():
    assert test_time.search_card(CARD, Signal.CRITIC) == CARD
    assert test_time.search_card(CARD, Signal.REWARD).key != CARD.key


@pytest.mark.parametrize("how, says", [("beams", "choose beam, best_of or mcts"), ("beam", "has none")])
def test_what_can_not_be_searched_is_refused(how, says):
    with pytest.raises(ParamsError, match=says):
        test_time.play_with_search(TOYS, TASKS[:1], Measured(), CRITIC, search(how), kept_trees=0)


def test_best_of_by_the_critic_needs_one():
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


def test_the_buffer_draws_what_trees_and_simulations_hold(left):
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
def test_rounds_that_are_replayed_come_after_and_are_older(left, tmp_path_factory, kind):
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


def test_of_two_rounds_that_compare_the_same_the_later_is_believed(left):
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
    kept, refused = references.fill_reference_logps(
        [written, sampled], tiny(), renderer, context=99, batch_tokens=99, bf16=False
    )
    assert (kept[0], refused) == (sampled, 0)
    assert len(kept[1].chosen_logps) == 4 and kept[1].chosen == written.chosen
    kept, refused = references.fill_reference_logps(
        [written, sampled], tiny(), renderer, context=3, batch_tokens=99, bf16=False
    )
    assert (kept, refused) == ([], 2)


# ------------------------------------------------------------------------------ the critic against what was found


def test_rank_correlation_and_reliability_by_hand():
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
