"""WebShop as an `eefcore.protocols.Environment`, in any of its interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.interfaces.session import Answer, Session
from eefcore.errors import EpisodeOver, UnknownTask
from eefcore.protocols import Skill
from eefcore.types import State, Transition


class Interface(Protocol):
    """How the shop is shown to an agent, and what its actions mean."""

    name: str
    skills: Mapping[str, Skill]
    max_turns: int

    def start(self, goal: Goal) -> Answer:
        """s_0 and o_0."""

    def act(self, goal: Goal, session: Session, action: str) -> Answer:
        """What `action` leads to from `session`. Pure, and never an exception, whatever the text."""

    def irreversible(self, action: str) -> bool:
        """Whether `action` buys."""


class Memory:
    """Answers by the State they led to, shared by the environments of a benchmark.

    Holds the last `size` of them; an older one is made again by replay when it is asked for.
    """

    def __init__(self, size: int = 50_000) -> None:
        self._answers: dict[State, Answer] = {}
        self._size = size

    def keep(self, state: State, answer: Answer) -> None:
        """Remember where `state` is."""
        self._answers[state] = answer
        if len(self._answers) > self._size:
            del self._answers[next(iter(self._answers))]

    def recall(self, state: State) -> Answer | None:
        """Where `state` is, if it is remembered."""
        return self._answers.get(state)


class WebShop:
    """One visit to the shop at a time. Cheap to make: everything large is shared.

    R(τ) is the official reward of what was bought, and 0 for an episode that ends without buying.
    `snapshot` and `restore` take the same time wherever they are: a session is a small immutable record.
    """

    def __init__(self, goals: Mapping[str, Goal], interface: Interface, memory: Memory) -> None:
        self._goals, self._interface, self._memory = goals, interface, memory
        self._task_id: str | None = None
        self._actions: list[str] = []
        self._goal: Goal
        self._now: Answer

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
        self._now = self._interface.start(self._goal)
        return self._now.observation

    def step(self, action: str | bytes) -> Transition:
        """Act. Any text is answered, as the interface specifies; bytes are read as UTF-8.

        Raises:
            EpisodeOver: after done, or before `reset`.
        """
        if self._task_id is None or self._now.done:
            raise self._over("step")
        if isinstance(action, bytes):
            action = action.decode("utf-8", errors="replace")
        answer = self._interface.act(self._goal, self._now.session, action)
        self._actions.append(action)
        self._now = answer
        return Transition(answer.observation, answer.reward, answer.done)

    def snapshot(self) -> State:
        """s_t.

        Raises:
            EpisodeOver: before `reset`.
        """
        if self._task_id is None:
            raise self._over("snapshot")
        state = State(self._task_id, tuple(self._actions))
        self._memory.keep(state, self._now)
        return state

    def restore(self, state: State) -> str:
        """Be at `state`, and return what is seen there.

        A state that was never snapshot is played from s_0, and kept.

        Raises:
            UnknownTask: no goal has its task id.
            EpisodeOver: its actions go on after the episode ends.
        """
        observation = self.reset(state.task_id)
        known = self._memory.recall(state)
        if known is not None:
            self._actions, self._now = list(state.actions), known
            return known.observation
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
