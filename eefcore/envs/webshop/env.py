"""One visit to the shop at a time, through any of its interfaces: an `eefcore.protocols.Environment`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from eefcore.envs.panels import Episode
from eefcore.envs.webshop.goals import Goal, find_goal
from eefcore.envs.webshop.interfaces.session import ShopSession, ShopStep
from eefcore.protocols import Skill
from eefcore.types import State, Transition


class Interface(Protocol):
    """How the shop is shown to an agent, and what the agent's actions mean."""

    name: str
    skills: Mapping[str, Skill]
    max_turns: int

    def start(self, goal: Goal) -> ShopStep:
        """Return s_0 and o_0."""

    def act(self, goal: Goal, session: ShopSession, action: str) -> ShopStep:
        """Return the session, observation and reward after `action` in `session`. Pure, and without an exception for any text."""

    def irreversible(self, action: str) -> bool:
        """Return whether `action` buys."""


class StepCache:
    """The steps that led to the last `size` states; an older one is played again when it is needed."""

    def __init__(self, size: int = 50_000) -> None:
        self._steps: dict[State, ShopStep] = {}
        self._size = size

    def add(self, state: State, step: ShopStep) -> None:
        """Keep the step that led to `state`."""
        self._steps[state] = step
        if len(self._steps) > self._size:
            del self._steps[next(iter(self._steps))]

    def get(self, state: State) -> ShopStep | None:
        """Return the step that led to `state`, None if it is not cached."""
        return self._steps.get(state)


class WebShop(Episode[Goal]):
    """One visit to the shop at a time. Cheap to make: everything large is shared.

    R(τ) is the official reward of what was bought, and 0 for an episode that ends without buying.
    `snapshot` and `restore` take the same time at every state: a session is a small immutable record.
    """

    def __init__(self, goals: Mapping[str, Goal], interface: Interface, cache: StepCache) -> None:
        super().__init__(goals)
        self._interface, self._cache = interface, cache
        self._goal: Goal
        self._current: ShopStep

    def _find(self, task_id: str) -> Goal:
        return find_goal(self._goals, task_id)

    def reset(self, task_id: str) -> str:
        """Start the task; return o_0. Raise UnknownTask if no goal has that id."""
        self._goal = self._start(task_id)
        self._current = self._interface.start(self._goal)
        return self._current.observation

    def step(self, action: str | bytes) -> Transition:
        """Take an action and return the next observation and reward; any text is answered, bytes are read as UTF-8. Raise EpisodeOver after done, or before `reset`."""
        before = self._running_state()
        if isinstance(action, bytes):
            action = action.decode("utf-8", errors="replace")
        self._current = self._interface.act(self._goal, self._current.session, action)
        self._state, self._done = State(before.task_id, (*before.actions, action)), self._current.done
        return Transition(self._current.observation, self._current.reward, self._current.done)

    def irreversible(self, action: str) -> bool:
        """Return whether `action` buys, which can't be undone outside a simulation."""
        return self._interface.irreversible(action)

    def snapshot(self) -> State:
        """Return s_t, and cache the step that led to it. Raise EpisodeOver before `reset`."""
        state = super().snapshot()
        self._cache.add(state, self._current)
        return state

    def restore(self, state: State) -> str:
        """Restore the shop to `state`, by replay from s_0 if there is no snapshot of it, and return the observation there.

        Raises:
            EpisodeOver: its actions go on after the episode ends.
        """
        observation = self.reset(state.task_id)
        if (cached := self._cache.get(state)) is not None:
            self._state, self._current, self._done = state, cached, cached.done
            return cached.observation
        for action in state.actions:
            observation = self.step(action).observation
        self.snapshot()
        return observation
