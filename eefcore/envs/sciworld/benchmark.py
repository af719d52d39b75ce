"""ScienceWorld as an `eefcore.protocols.Benchmark`: kinds of task made into panels and environments."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from eefcore import __version__
from eefcore.envs.panels import ALL_TASKS, PanelSizes
from eefcore.envs.sciworld import tasks as dealing
from eefcore.envs.sciworld.env import SciWorld
from eefcore.envs.sciworld.jvm import FLAGS, simulator_version
from eefcore.envs.sciworld.simulator import SIMPLIFICATIONS
from eefcore.envs.sciworld.skills import SKILLS
from eefcore.envs.sciworld.tasks import Task
from eefcore.envs.sciworld.worlds import Memory, Place, Worlds, shared
from eefcore.errors import ParamsError, UnknownTask
from eefcore.types import Card


class SciWorldBenchmark:
    """Some kinds of ScienceWorld's tasks, with the simulator's own splits.

    Attributes:
        goals: all variations of these kinds, by task id; those in no panel can be played too.
        splits: task ids of `train`, `dev` and `test`.
        max_turns: actions of an episode, after which the environment ends it.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        *,
        sizes: PanelSizes = ALL_TASKS,
        seed: int = 0,
        max_turns: int,
        worlds: Worlds | None = None,
    ) -> None:
        """A benchmark of `kinds`; nothing is started before something is played.

        Args:
            seed: of which tasks come first in a panel.
            worlds: where it is played; those of this process by default.

        Raises:
            SimulatorError: no scienceworld package, or no Java.
            DataError: more tasks are asked for than a split has.
            ParamsError: an unknown kind of task.
        """
        if unknown := set(kinds) - set(dealing.VARIATIONS):
            raise ParamsError(f"no kind of task {min(unknown)!r}; choose of {', '.join(dealing.VARIATIONS)}")
        version = simulator_version()
        self.goals = {dealing.task_id(task, version): task for task in dealing.every(kinds)}
        self.splits = dealing.splits(kinds, sizes, version=version, seed=seed)
        self.max_turns = max_turns
        self.skills = SKILLS
        self.worlds = worlds or shared()
        self._memory = Memory()
        self._ids = {task: i for i, task in self.goals.items()}
        self._facts: dict[str, str | int | bool] = {
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
        """An environment; all of a benchmark share simulators and one memory of what was seen."""
        return SciWorld(self.goals, self.worlds, self._memory, self.max_turns)

    def tasks(self, split: str) -> tuple[str, ...]:
        """Task ids of `train`, `dev` or `test`, kinds in turn.

        Raises:
            ParamsError: there is no such split.
        """
        if split not in self.splits:
            raise ParamsError(f"split {split!r}; choose one of {', '.join(self.splits)}")
        return self.splits[split]

    def goal(self, task_id: str) -> Task:
        """Which task it is. For experts and analysis.

        Raises:
            UnknownTask: none has that id.
        """
        try:
            return self.goals[task_id]
        except KeyError:
            raise UnknownTask(f"no task {task_id!r} among {len(self.goals)} of ScienceWorld") from None

    def task_id_of(self, task: Task) -> str:
        """The id of a task; with `tasks.of_agentgym`, of an AgentGym number.

        Raises:
            UnknownTask: it is of none of these kinds.
        """
        try:
            return self._ids[task]
        except KeyError:
            raise UnknownTask(
                f"{task.kind}, variation {task.variation}, is none of this benchmark's"
            ) from None

    def instruction(self, task_id: str) -> str:
        """What is asked for, in words: the first line of o_0."""
        seen = self.worlds.look(Place(self.goal(task_id)), self._memory)
        return seen.observation.partition("\n")[0]


def _digest(splits: dict[str, tuple[str, ...]]) -> str:
    content = "\n".join(f"{split} {' '.join(ids)}" for split, ids in splits.items())
    return hashlib.sha256(content.encode()).hexdigest()[:8]
