"""The ceiling of a search: what any rehearsed episode won, judged afterwards by an environment that the search did not see."""

from __future__ import annotations

import math

import msgspec
import pytest
from helpers.forests import CARD, TOYS
from helpers.search_toys import CRITIC, HAT, Dice, grown, roots, settings
from helpers.toy_shop import TASKS, ToyShop

from eefcore.errors import ReplayMismatch, SimulatorError
from eefcore.evaluation.stats import wilson
from eefcore.protocols import Reply
from eefcore.search import test_time
from eefcore.search.ceiling import (
    Ceiling,
    ceiling_of_episodes,
    ceiling_of_tree,
    ceiling_rate,
    ceiling_summary,
)
from eefcore.search.guard import EnvView
from eefcore.search.settings import Signal
from eefcore.search.test_time import SearchedEpisode, SearchMethod
from eefcore.storage.records import read_records
from eefcore.types import History, Step, StopReason, Trajectory


def episode(*actions: str, reward: float = 0.0, stop: StopReason = StopReason.DONE) -> Trajectory:
    steps = tuple(Step("o", a) for a in actions)
    return Trajectory(history=History(HAT, "end", steps), reward=reward, n_expert=0, source="me", stop=stop)


LOST, WON = episode("buy red hat", reward=0.25), episode("next", reward=1.0)
BROKEN = episode(stop=StopReason.MODEL_FAILURE)


def judge(shop=ToyShop) -> EnvView:
    return EnvView(shop(), Signal.REWARD)


# Episodes and trees ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("played", "rehearsed", "solvable", "n"),
    [
        (LOST, [LOST, WON], True, 2),
        (LOST, [LOST, LOST], False, 2),
        (WON, [LOST], True, 1),  # an episode may win what no rehearsal did
        (LOST, [], False, 0),
        (BROKEN, [BROKEN, LOST], False, 1),
        (BROKEN, [BROKEN], None, 0),
    ],
)
def test_a_task_is_solvable_if_any_of_its_episodes_won(played, rehearsed, solvable, n):
    assert ceiling_of_episodes(played, rehearsed) == Ceiling(HAT, solvable, n)


def test_a_tree_of_the_critic_is_judged_as_one_that_saw_the_rewards():
    """Ranked alike and without merging, the two differ in nothing but what they know of their ends."""
    for task, seed in ((t, s) for t in TASKS for s in range(3)):
        (blind,), (saw,) = (
            grown(roots((task,), signal, K=4, alpha=0.0, seed=seed, merge=False), 8)
            for signal in (Signal.CRITIC, Signal.REWARD)
        )
        assert [s.node for s in blind.simulations] == [s.node for s in saw.simulations]
        ours, known = (ceiling_of_tree(LOST, tree, judge()) for tree in (blind, saw))
        assert (ours.solvable, ours.rehearsed) == (known.solvable, known.rehearsed)
        assert ours.solvable == any(s.reward == 1.0 for s in saw.simulations)
        ends = {blind.final_history(s).state for s in blind.simulations if s.stop is StopReason.DONE}
        assert (ours.env_steps, known.env_steps) == (len(ends), 0)  # equal ends are judged once
    assert all(s.reward is None for s in blind.simulations)  # and the tree learns nothing of it


def test_limits_are_lost_and_what_the_environment_fails_to_judge_is_left_out():
    class Torn(ToyShop):
        def step(self, action):
            raise SimulatorError("the line is cut")

    (dancer,) = grown(roots((HAT,), Signal.CRITIC, max_turns=2), 3, Dice(lambda h, s: Reply("dance")))
    assert ceiling_of_tree(LOST, dancer, judge()) == Ceiling(HAT, False, 3)
    (buyer,) = grown(roots((HAT,), Signal.CRITIC), 3, Dice(lambda h, s: Reply("buy red hat")))
    assert ceiling_of_tree(LOST, buyer, judge()) == Ceiling(HAT, False, 3, 1)
    assert ceiling_of_tree(BROKEN, buyer, judge(Torn)) == Ceiling(HAT, None, 0, 3)


def test_another_environment_than_the_one_searched_is_refused():
    class Elsewhere(ToyShop):
        def restore(self, state):
            super().restore(state)
            return "elsewhere"

    (tree,) = grown(roots((HAT,), Signal.CRITIC, K=8), 8)
    with pytest.raises(ReplayMismatch):
        ceiling_of_tree(LOST, tree, judge(Elsewhere))


# Panels ---------------------------------------------------------------------------------------------------


def test_the_share_has_the_interval_of_a_rate_and_leaves_out_what_nothing_is_known_of():
    panel = [Ceiling("a", True, 4, 2), Ceiling("b", False, 4), Ceiling("c", True, 4, 3), Ceiling("d", None)]
    share = ceiling_rate(panel)
    assert (share.value, share.n) == (pytest.approx(2 / 3), 3)
    assert (share.low, share.high) == pytest.approx(wilson(2, 3))
    assert ceiling_summary(panel) == {
        "ceiling/solvable": pytest.approx(2 / 3),
        "ceiling/solvable_low": pytest.approx(share.low),
        "ceiling/solvable_high": pytest.approx(share.high),
        "ceiling/n": 3,
        "ceiling/rehearsed": 3.0,
        "ceiling/env_steps": 5,
    }
    assert ceiling_summary([]) == {}
    assert math.isnan(ceiling_rate([Ceiling("d", None)]).value)


class Measured(Dice):
    def length(self, history):
        return len(history)


def played_by(how: str, signal: Signal, *, ceiling: bool = True) -> list[SearchedEpisode]:
    method = SearchMethod(
        how=how, signal=signal, simulations=6, by="visits", settings=settings(K=8), slots=8, ceiling=ceiling
    )
    return test_time.play_with_search(TOYS, TASKS, Measured(), CRITIC, method, kept_trees=len(TASKS))


@pytest.mark.parametrize("how", ["mcts", "best_of"])
@pytest.mark.parametrize("signal", Signal)
def test_a_ceiling_is_measured_beside_a_search_and_changes_nothing_of_it(how, signal, tmp_path):
    with_it, without = (played_by(how, signal, ceiling=c) for c in (True, False))
    assert [msgspec.structs.replace(e, ceiling=None) for e in with_it] == without  # the cost as well
    ceilings = [e.ceiling for e in with_it]
    assert [c.task_id for c in ceilings] == list(TASKS)
    assert all(c.solvable for c, e in zip(ceilings, with_it, strict=True) if e.trajectory.win)
    assert (sum(c.env_steps for c in ceilings) > 0) == (how == "mcts" and signal is Signal.CRITIC)
    assert all(
        c.rehearsed == (6 if how == "best_of" else len(e.tree.simulations))
        for c, e in zip(ceilings, with_it, strict=True)
    )
    logged = test_time.decision_counts(with_it)
    assert logged["ceiling/solvable"] == sum(c.solvable for c in ceilings) / len(TASKS)
    assert not [key for key in test_time.decision_counts(without) if key.startswith("ceiling/")]
    test_time.write_ceilings(tmp_path / "ceiling.jsonl", with_it, card=CARD)
    written = read_records(tmp_path / "ceiling.jsonl", Ceiling)
    assert written.list == ceilings
    assert written.header.card == test_time.search_card(CARD, Signal.REWARD) != CARD
