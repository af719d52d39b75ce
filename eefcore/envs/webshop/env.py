"""One visit to the shop at a time, through any of its interfaces: an `eefcore.protocols.Environment`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.interfaces.session import ShopSession, ShopStep
from eefcore.errors import EpisodeOver, UnknownTask
from eefcore.protocols import Skill
from eefcore.types import State, Transition


class Interface(Protocol):
    """How the shop is shown to an agent, and what the agent's actions mean."""

    name: str
    skills: Mapping[str, Skill]
    max_turns: int

    def start(self, goal: Goal) -> ShopStep:
        """Return s_0 and o_0."""
        ...

    def act(self, goal: Goal, session: ShopSession, action: str) -> ShopStep:
        """Return what `action` leads to from `session`. Pure, and without an exception for any text."""
        ...

    def irreversible(self, action: str) -> bool:
        """Whether `action` buys."""
        ...


class StepCache:
    """The steps that led to the last `size` states, shared by the environments of a benchmark.

    An older step is made again by replay when it is asked for.
    """

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


class WebShop:
    """One visit to the shop at a time. Cheap to make: everything large is shared.

    R(τ) is the official reward of what was bought, and 0 for an episode that ends without buying.
    `snapshot` and `restore` take the same time at every state: a session is a small immutable record.
    """

    def __init__(self, goals: Mapping[str, Goal], interface: Interface, cache: StepCache) -> None:
        self._goals, self._interface, self._cache = goals, interface, cache
        self._task_id: str | None = None
        self._actions: list[str] = []
        self._goal: Goal
        self._current: ShopStep

    def reset(self, task_id: str) -> str:
        """Start the task; return o_0.

        Raises:
            UnknownTask: no goal has that id.
        """
        if task_id not in self._goals:
            raise UnknownTask(
                f"no task {task_id!r} among {len(self._goals)} WebShop goals; a task id is a hash of its "
                "goal, so the catalogue, the price seed or the kind of goals may have changed"
            )
        self._task_id, self._goal, self._actions = task_id, self._goals[task_id], []
        self._current = self._interface.start(self._goal)
        return self._current.observation

    def step(self, action: str | bytes) -> Transition:
        """Act. Any text is answered, as the interface specifies; bytes are read as UTF-8.

        Raises:
            EpisodeOver: after done, or before `reset`.
        """
        if self._task_id is None or self._current.done:
            raise self._over("step")
        if isinstance(action, bytes):
            action = action.decode("utf-8", errors="replace")
        self._current = self._interface.act(self._goal, self._current.session, action)
        self._actions.append(action)
        return Transition(self._current.observation, self._current.reward, self._current.done)

    def snapshot(self) -> State:
        """Return s_t.

        Raises:
            EpisodeOver: before `reset`.
        """
        if self._task_id is None:
            raise self._over("snapshot")
        state = State(self._task_id, tuple(self._actions))
        self._cache.add(state, self._current)
        return state

    def restore(self, state: State) -> str:
        """Go to `state`, and return the observation there.

        A state of which no snapshot was taken is played from s_0, and cached.

        Raises:
            UnknownTask: no goal has its task id.
            EpisodeOver: its actions go on after the episode ends.
        """
        observation = self.reset(state.task_id)
        if (cached := self._cache.get(state)) is not None:
            self._actions, self._current = list(state.actions), cached
            return cached.observation
        for action in state.actions:
            observation = self.step(action).observation
        self.snapshot()
        return observation

    def _over(self, what: str) -> EpisodeOver:
        where = (
            "before any task was started"
            if self._task_id is None
            else (f"of {self._task_id} after its end, {len(self._actions)} actions in")
        )
        return EpisodeOver(f"{what} {where}; call reset or restore first")
