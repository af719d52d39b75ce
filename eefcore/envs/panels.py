"""What benchmarks of tasks in three panels share: the panels' sizes as in `400/100/300`, tasks by id, and episodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Generic, NamedTuple, TypeVar

from eefcore.errors import EpisodeOver, ParamsError, UnknownTask
from eefcore.types import Card, State

Goal = TypeVar("Goal")

SPLITS = ("train", "dev", "test")

Splits = dict[str, tuple[str, ...]]
"""Task ids by the name of the split, in a fixed order."""

Facts = dict[str, str | int | float | bool]
"""What an environment card says."""


class PanelSizes(NamedTuple):
    """How many tasks to train on, to select models on and to test on.

    What 0 means is the benchmark's: of the official WebShop goals all that remain are trained on, and of
    ScienceWorld's splits all tasks are used.
    """

    train: int = 0
    dev: int = 0
    test: int = 0


ALL_TASKS = PanelSizes()
"""The sizes of a benchmark that asks for no smaller panels."""


def panel_sizes(sizes: str) -> PanelSizes:
    """Parse `400/100/300`: tasks to train on, to select the model on, to test on.

    Raises:
        ParamsError: `sizes` is not three numbers.
    """
    parts = sizes.split("/")
    if len(parts) != 3 or not all(re.fullmatch(r"[0-9]{1,9}", p) for p in parts):
        raise ParamsError(f"sizes {sizes!r}: expected three numbers, train/dev/test, as in 400/100/300")
    return PanelSizes(*map(int, parts))


class PanelBenchmark(Generic[Goal]):
    """The part of a benchmark that knows its tasks by id, their splits, and the facts of its environment card."""

    name: ClassVar[str]

    def __init__(self, goals: Mapping[str, Goal], splits: Splits, facts: Facts) -> None:
        self.goals, self.splits, self._facts = goals, splits, facts

    @property
    def card(self) -> Card:
        """The environment card: facts that must be equal for two results to be compared."""
        return Card(self.name, self._facts)

    def tasks(self, split: str) -> tuple[str, ...]:
        """Return the task ids of `train`, `dev` or `test`, in a fixed order.

        Raises:
            ParamsError: there is no such split.
        """
        if split not in self.splits:
            raise ParamsError(f"split {split!r}; choose one of {', '.join(self.splits)}")
        return self.splits[split]

    def goal(self, task_id: str) -> Goal:
        """Return what the task asks for. For experts and analysis; no method may see it.

        Raises:
            UnknownTask: no task has that id.
        """
        return find_task(self.goals, task_id)


class Episode(Generic[Goal]):
    """The part of an environment that knows the task and the actions so far, which are its state."""

    def __init__(self, goals: Mapping[str, Goal]) -> None:
        self._goals = goals
        self._state: State | None = None
        self._done = True

    def _start(self, task_id: str) -> Goal:
        """Begin an episode of the task; raise UnknownTask if there is none of that id."""
        goal = self._find(task_id)
        self._state, self._done = State(task_id), False
        return goal

    def _find(self, task_id: str) -> Goal:
        return find_task(self._goals, task_id)

    def _running_state(self) -> State:
        """Return s_t, from which an action is allowed; raise EpisodeOver after done, or before `reset`."""
        if self._state is None or self._done:
            raise self._over("step")
        return self._state

    def snapshot(self) -> State:
        """Return s_t; raise EpisodeOver before `reset`."""
        if self._state is None:
            raise self._over("snapshot")
        return self._state

    def _over(self, what: str) -> EpisodeOver:
        state = self._state
        where = (
            f"of {state.task_id} after its end, {len(state.actions)} actions in"
            if state
            else "before any task was started"
        )
        return EpisodeOver(f"{what} {where}; call reset or restore first")


def find_task(goals: Mapping[str, Goal], task_id: str) -> Goal:
    """Return the goal of the task; raise UnknownTask if there is none of that id."""
    if task_id not in goals:
        raise UnknownTask(
            f"no task {task_id!r} among {len(goals)} here; a task id is a hash of its content, so the benchmark, its data, "
            "its price seed or the simulator's version may have changed"
        )
    return goals[task_id]
