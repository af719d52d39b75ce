"""Panels and environments of some kinds of ScienceWorld task: an `eefcore.protocols.Benchmark`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from eefcore import __version__
from eefcore.envs.panels import ALL_TASKS, PanelSizes
from eefcore.envs.sciworld.env import SciWorld
from eefcore.envs.sciworld.jvm import FLAGS, simulator_version
from eefcore.envs.sciworld.navigation import SKILLS
from eefcore.envs.sciworld.simulator import SIMPLIFICATIONS
from eefcore.envs.sciworld.simulator_pool import ResponseCache, SimulatorPool, SimulatorState, shared_pool
from eefcore.envs.sciworld.tasks import VARIATIONS, Task, all_variations, split_tasks, task_id
from eefcore.errors import ParamsError, UnknownTask
from eefcore.types import Card


class SciWorldBenchmark:
    """Some kinds of ScienceWorld's tasks, with the simulator's own splits.

    Attributes:
        goals: all variations of these kinds, by task id; those in no panel can be played too.
        splits: task ids of `train`, `dev` and `test`.
        max_turns: actions of an episode, after which the environment ends it. Failed and refused actions count, so
            no agent can go on for ever.
        simulators: where it is played.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        *,
        sizes: PanelSizes = ALL_TASKS,
        seed: int = 0,
        max_turns: int,
        simulators: SimulatorPool | None = None,
    ) -> None:
        """Make a benchmark of `kinds`; no simulator starts before something is played.

        Args:
            seed: decides which tasks come first in a panel.
            simulators: those of this process by default.

        Raises:
            SimulatorError: the scienceworld package, or Java, is not installed.
            DataError: more tasks are asked for than a split has.
            ParamsError: an unknown kind of task.
        """
        if unknown := set(kinds) - set(VARIATIONS):
            raise ParamsError(f"no kind of task {min(unknown)!r}; choose of {', '.join(VARIATIONS)}")
        version = simulator_version()
        self.goals = {task_id(task, version): task for task in all_variations(kinds)}
        self.splits = split_tasks(kinds, sizes, version=version, seed=seed)
        self.max_turns = max_turns
        self.skills = SKILLS
        self.simulators = simulators or shared_pool()
        self._cache = ResponseCache()
        self._ids = {task: i for i, task in self.goals.items()}
        self._facts: dict[str, str | int | float | bool] = {
            "scienceworld": version,
            "simplifications": SIMPLIFICATIONS or "none",
            "java": " ".join(FLAGS),
            "kinds": len(kinds),
            "splits": _digest(self.splits),
            "max_turns": max_turns,
            "eefcore": __version__,
        }

    @property
    def card(self) -> Card:
        """What must be equal for two numbers to be compared."""
        return Card("sciworld", self._facts)

    def make(self) -> SciWorld:
        """Make an environment; all of a benchmark share simulators and one cache of responses."""
        return SciWorld(self.goals, self.simulators, self._cache, self.max_turns)

    def tasks(self, split: str) -> tuple[str, ...]:
        """Return the task ids of `train`, `dev` or `test`, in which kinds take turns.

        Raises:
            ParamsError: there is no such split.
        """
        if split not in self.splits:
            raise ParamsError(f"split {split!r}; choose one of {', '.join(self.splits)}")
        return self.splits[split]

    def goal(self, task_id: str) -> Task:
        """Return the task of that id. For experts and analysis.

        Raises:
            UnknownTask: no task has that id.
        """
        try:
            return self.goals[task_id]
        except KeyError:
            raise UnknownTask(f"no task {task_id!r} among {len(self.goals)} of ScienceWorld") from None

    def task_id_of(self, task: Task) -> str:
        """Return the id of a task; together with `tasks.agentgym_task`, of an AgentGym number.

        Raises:
            UnknownTask: the benchmark does not have this kind or variation.
        """
        try:
            return self._ids[task]
        except KeyError:
            raise UnknownTask(
                f"{task.kind}, variation {task.variation}, is none of this benchmark's"
            ) from None

    def instruction(self, task_id: str) -> str:
        """Return what is asked for, in words: the first line of o_0."""
        start = self.simulators.response(SimulatorState(self.goal(task_id)), self._cache)
        return start.observation.partition("\n")[0]


def _digest(splits: dict[str, tuple[str, ...]]) -> str:
    content = "\n".join(f"{split} {' '.join(ids)}" for split, ids in splits.items())
    return hashlib.sha256(content.encode()).hexdigest()[:8]
