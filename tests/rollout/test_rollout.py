"""Rollouts from any history: its actions are kept, limits counted, and restored observations compared."""

import msgspec
import pytest
from helpers.toy_shop import TASKS, ToyShop, shopper
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import ReplayMismatch
from eefcore.policies.scripted import ScriptedPolicy
from eefcore.protocols import Reply, Sampling
from eefcore.rollout.rollout import Start, replay, restore, rollout
from eefcore.types import History, Mistake, StopReason, Trajectory

HAT = "green hat"


def shop_history(task=HAT, *actions):
    """Return the history of `actions` in the shop."""
    shop = ToyShop()
    history = History(task, shop.reset(task))
    for action in actions:
        history = history.then(action, shop.step(action).observation)
    return history


def played(*starts, act=shopper, max_turns=10, **rest):
    return rollout(ScriptedPolicy(act, "toy"), ToyShop, starts, max_turns=max_turns, **rest)


class OneAtATime(ScriptedPolicy):
    """A policy that answers the newest question first, one a call."""

    def __init__(self, act):
        super().__init__(act, "slow")
        self.closed = []

    def answers(self):
        if not self._questions:
            return []
        episode = next(reversed(self._questions))
        return [(episode, self._reply(self._questions.pop(episode)))]

    def close(self, episode):
        self.closed.append(episode)


def test_an_episode_is_played_to_its_end():
    (t,) = played(Start(shop_history()))
    assert t.actions == ("next", "next", f"buy {HAT}")
    assert (t.win, t.stop, t.n_expert, t.source, len(t)) == (True, StopReason.DONE, 0, "toy", 3)
    assert [s.observation for s in t.history.steps] == [
        "buy a green hat. red hat, red sock",
        "blue hat, blue sock",
        "green hat, green sock",
    ]
    assert t.history.observation == "bye"


def test_the_actions_of_the_start_come_first_and_count_as_the_experts():
    head = shop_history(HAT, "what", "next")
    (t,) = played(Start(head, Sampling(0.7, 3), sample=2, marks=(Mistake(0, "slip"),)))
    assert t.history.at(2) == head
    assert (t.n_expert, t.sample, t.temperature, t.marks) == (2, 2, 0.7, (Mistake(0, "slip"),))
    assert t.win and t.actions == ("what", "next", "next", f"buy {HAT}")


@pytest.mark.parametrize(
    "head, max_turns, length, stop",
    [
        ((), 3, 3, StopReason.DONE),
        ((), 2, 2, StopReason.TURN_LIMIT),
        (("what",) * 2, 4, 4, StopReason.TURN_LIMIT),  # the head counts
        (("what",) * 4, 4, 4, StopReason.TURN_LIMIT),  # nothing is asked
        ((), 0, 0, StopReason.TURN_LIMIT),
    ],
)
def test_max_turns_counts_all_of_the_trajectory(head, max_turns, length, stop):
    (t,) = played(Start(shop_history(HAT, *head)), max_turns=max_turns)
    assert (len(t), t.stop, t.reward, t.n_expert) == (length, stop, float(stop is StopReason.DONE), len(head))


@pytest.mark.parametrize("stop", [StopReason.MALFORMED, StopReason.CONTEXT_LIMIT, StopReason.MODEL_FAILURE])
def test_a_reply_without_an_action_ends_the_episode_where_it_is(stop):
    class Stops(ScriptedPolicy):
        def _reply(self, history):
            return Reply("", stop=stop) if history.actions else Reply("next")

    (t,) = rollout(Stops(shopper, "stops"), ToyShop, [Start(shop_history())], max_turns=9)
    assert (t.actions, t.reward, t.stop) == (("next",), 0.0, stop)


def test_an_episode_that_is_done_without_a_win_keeps_its_reward():
    (t,) = played(Start(shop_history()), act=lambda h: "buy red hat")
    assert (t.reward, t.win, t.outcome) == (0.25, False, "loss")


def test_sampled_token_ids_are_stored_with_the_action():
    class Samples(ScriptedPolicy):
        def _reply(self, history):
            return Reply(self._act(history), (len(history), 9), (-0.5, -0.25))

    (t,) = rollout(Samples(shopper, "ids"), ToyShop, [Start(shop_history())], max_turns=9)
    assert [s.tokens for s in t.history.steps] == [(0, 9), (1, 9), (2, 9)]
    assert {s.logps for s in t.history.steps} == {(-0.5, -0.25)}


def test_no_starts_give_no_trajectories():
    assert played() == []


@given(st.lists(st.tuples(st.sampled_from(TASKS), st.integers(0, 3)), max_size=8))
def test_trajectories_are_in_the_order_of_the_starts_whichever_ends_first(chosen):
    starts = [Start(shop_history(task, *["what"] * n), sample=i) for i, (task, n) in enumerate(chosen)]
    together = played(*starts)
    policy, heard = OneAtATime(shopper), []
    alone = rollout(policy, ToyShop, starts, max_turns=10, on_end=heard.append)
    assert [t.sample for t in alone] == list(range(len(starts)))
    assert [msgspec.structs.replace(t, source="toy") for t in alone] == together
    assert sorted(policy.closed) == list(range(len(starts)))  # each episode is closed once
    assert sorted(t.sample for t in heard) == list(range(len(starts)))


# Restoring and replaying --------------------------------------------------------------------------------


def test_restore_sets_the_environment_to_the_state_of_a_history():
    env = restore(ToyShop(), shop_history(HAT, "next"))
    assert env.snapshot() == shop_history(HAT, "next").state
    assert env.step("next").observation == "green hat, green sock"


def test_an_environment_that_shows_something_else_is_refused():
    elsewhere = History(HAT, "buy a green hat. yellow hat")
    with pytest.raises(ReplayMismatch, match=r"green hat: o_0 is now 'buy a green hat\. red hat"):
        rollout(ScriptedPolicy(shopper), ToyShop, [Start(elsewhere)], max_turns=9)


def recorded():
    (t,) = played(Start(shop_history()))
    return t


def test_a_trajectory_that_replays_exactly_is_returned_unchanged():
    t = recorded()
    assert replay(ToyShop(), t) is t


def test_replaying_leaves_a_snapshot_of_each_state():
    kept = []

    class Remembers(ToyShop):
        def snapshot(self):
            kept.append(super().snapshot())
            return kept[-1]

    t = recorded()
    replay(Remembers(), t)
    assert kept == [t.state(i) for i in range(len(t))]


@pytest.mark.parametrize("i", [0, 1, 2, 3])
def test_the_first_changed_observation_is_named(i):
    t = recorded()
    steps = [
        msgspec.structs.replace(s, observation=s.observation + "!" * (j >= i))
        for j, s in enumerate(t.history.steps)
    ]
    changed = msgspec.structs.replace(
        t, history=History(HAT, t.history.observation + "!" * (i <= 3), tuple(steps))
    )
    with pytest.raises(ReplayMismatch, match=rf"green hat: o_{i} is now"):
        replay(ToyShop(), changed)


def test_a_changed_reward_is_refused():
    t = recorded()
    with pytest.raises(ReplayMismatch, match=r"replayed to reward 1\.0, recorded 0\.5"):
        replay(ToyShop(), msgspec.structs.replace(t, reward=0.5))


def test_a_trajectory_cut_short_replays_to_reward_0():
    (t,) = played(Start(shop_history()), max_turns=2)
    assert isinstance(t, Trajectory) and replay(ToyShop(), t) is t
