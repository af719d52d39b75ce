"""What a search may see of an environment: with its rewards, or without.

A search never holds an environment, only one of these two. `Blind` does not read rewards, and hides the last page,
on which some shops print the score; so a tree grown by the critic alone can't know one, whatever is done with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from eefcore.protocols import Environment
from eefcore.rendering.critic_prompts import EPISODE_OVER
from eefcore.rollout.rollout import restore
from eefcore.search.guard import Guard, Irreversible
from eefcore.search.mcts import Landing
from eefcore.search.settings import Signal
from eefcore.search.tally import Tally
from eefcore.types import History


class World(Protocol):
    """An environment that is gone back to again and again, guarded."""

    def go_to(self, history: History) -> None:
        """Be where `history` was recorded; in O(1) where the environment has snapshots.

        Raises:
            ReplayMismatch: it does not show what the history saw.
        """

    def step(self, action: str) -> Landing:
        """Act."""

    def keep(self) -> None:
        """This state will be gone back to."""

    def took(self) -> Tally:
        """Actions answered since the last call, and how many of them can't be undone outside."""


class Sighted:
    """The environment with its rewards."""

    def __init__(self, env: Environment, irreversible: Irreversible) -> None:
        self._guard, self._steps = Guard(env, irreversible), 0

    def go_to(self, history: History) -> None:
        """Restored, and checked."""
        restore(self._guard, history)

    def step(self, action: str) -> Landing:
        """Act; a reward comes with the end."""
        self._steps += 1
        observation, reward, done = self._guard.step(action)
        return Landing(observation, done, reward if done else None)

    def keep(self) -> None:
        """Snapshot."""
        self._guard.snapshot()

    def took(self) -> Tally:
        """And from now on anew."""
        guard, steps = self._guard, self._steps
        tally = Tally(env_steps=steps, irreversible=guard.rehearsed, violations=guard.violations)
        self._steps = guard.rehearsed = guard.violations = 0
        return tally


class Blind(Sighted):
    """The environment without its rewards."""

    def step(self, action: str) -> Landing:
        """Act; that it is over can be seen, and nothing of how it ended."""
        self._steps += 1
        seen = self._guard.step(action)
        return Landing(EPISODE_OVER, True) if seen.done else Landing(seen.observation)


def opened(signal: Signal, make_env: Callable[[], Environment], irreversible: Irreversible) -> World:
    """What a tree of this signal may see."""
    return (Sighted if signal is Signal.REWARD else Blind)(make_env(), irreversible)
