"""Show a search its environment, with rewards or without.

A search never holds an environment, only one of these two views. `WithoutReward` does not read rewards, and hides the
last page, on which some shops print the score; so a tree grown by the critic alone can't contain a reward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from eefcore.protocols import Environment
from eefcore.rendering.critic_prompts import EPISODE_OVER
from eefcore.rollout.rollout import restore
from eefcore.search.cost import Tally
from eefcore.search.guard import Guard, Irreversible
from eefcore.search.mcts import StepResult
from eefcore.search.settings import Signal
from eefcore.types import History


class EnvView(Protocol):
    """A guarded environment that a search restores again and again."""

    def go_to(self, history: History) -> None:
        """Restore the state of `history`, in O(1) where the environment has snapshots.

        Raises:
            ReplayMismatch: the environment shows another observation than the history recorded.
        """

    def step(self, action: str) -> StepResult:
        """Take an action and return what the search may see of its effect."""
        raise NotImplementedError

    def snapshot(self) -> None:
        """Keep the present state, because the search will come back to it."""

    def pop_tally(self) -> Tally:
        """Return the counts of actions since the last call, and of those that can't be undone outside."""
        raise NotImplementedError


class WithReward:
    """The environment with its rewards."""

    def __init__(self, env: Environment, irreversible: Irreversible) -> None:
        self._guard, self._steps = Guard(env, irreversible), 0

    def go_to(self, history: History) -> None:
        """Restore the state of `history`, and check the observation."""
        restore(self._guard, history)

    def step(self, action: str) -> StepResult:
        """Take an action; the reward comes with the end of the episode."""
        self._steps += 1
        observation, reward, done = self._guard.step(action)
        return StepResult(observation, done, reward if done else None)

    def snapshot(self) -> None:
        """Keep the present state."""
        self._guard.snapshot()

    def pop_tally(self) -> Tally:
        """Return the counts since the last call, and start counting again."""
        guard, steps = self._guard, self._steps
        tally = Tally(env_steps=steps, irreversible=guard.rehearsed, violations=guard.violations)
        self._steps = guard.rehearsed = guard.violations = 0
        return tally


class WithoutReward(WithReward):
    """The environment without its rewards."""

    def step(self, action: str) -> StepResult:
        """Take an action; the search sees that the episode is over, but not how it ended."""
        self._steps += 1
        transition = self._guard.step(action)
        return StepResult(EPISODE_OVER, True) if transition.done else StepResult(transition.observation)


def open_view(signal: Signal, make_env: Callable[[], Environment], irreversible: Irreversible) -> EnvView:
    """Make an environment, and return the view of it that a tree of this signal may have."""
    return (WithReward if signal is Signal.REWARD else WithoutReward)(make_env(), irreversible)
