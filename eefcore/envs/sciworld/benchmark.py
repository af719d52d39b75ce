"""Panels and environments of some kinds of ScienceWorld task: an `eefcore.protocols.Benchmark`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from eefcore import __version__
from eefcore.envs.panels import ALL_TASKS, PanelBenchmark, PanelSizes, Splits, panel_sizes
from eefcore.envs.registry import ENTRIES
from eefcore.envs.sciworld.env import SciWorld
from eefcore.envs.sciworld.jvm import FLAGS, simulator_version
from eefcore.envs.sciworld.navigation import SKILLS
from eefcore.envs.sciworld.simulator import SIMPLIFICATIONS
from eefcore.envs.sciworld.simulator_pool import ResponseCache, SimulatorPool, SimulatorState, shared_pool
from eefcore.envs.sciworld.tasks import (
    MINI,
    SCIWORLD,
    VARIATIONS,
    Task,
    all_variations,
    split_tasks,
    task_id,
)
from eefcore.errors import ParamsError, UnknownTask

KINDS = {"sciworld": SCIWORLD, "sciworld_mini": MINI}
"""Kinds of task by the name of the benchmark in a params file."""


class SciWorldBenchmark(PanelBenchmark[Task]):
    """Some kinds of ScienceWorld's tasks, with the simulator's own splits.

    Attributes:
        goals: all variations of these kinds, by task id; those in no panel can be played too.
        splits: task ids of `train`, `dev` and `test`; kinds take turns in each.
        max_turns: actions of an episode, after which the environment ends it. Failed and refused actions count, so
            no agent can go on for ever.
        simulators: where it is played.
    """

    name = "sciworld"

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
        splits = split_tasks(kinds, sizes, version=version, seed=seed)
        super().__init__(
            {task_id(task, version): task for task in all_variations(kinds)},
            splits,
            {
                "scienceworld": version,
                "simplifications": SIMPLIFICATIONS or "none",
                "java": " ".join(FLAGS),
                "kinds": len(kinds),
                "splits": _digest(splits),
                "max_turns": max_turns,
                "eefcore": __version__,
            },
        )
        self.max_turns, self.skills = max_turns, SKILLS
        self.simulators = simulators or shared_pool()
        self._cache = ResponseCache()
        self._ids = {task: i for i, task in self.goals.items()}

    def make(self) -> SciWorld:
        """Make an environment; all of a benchmark share simulators and one cache of responses."""
        return SciWorld(self.goals, self.simulators, self._cache, self.max_turns)

    def task_id_of(self, task: Task) -> str:
        """Return the id of a task; together with `tasks.agentgym_task`, of an AgentGym number.

        Raises:
            UnknownTask: the benchmark does not have this kind or variation.
        """
        if task not in self._ids:
            raise UnknownTask(f"{task.kind}, variation {task.variation}, is none of this benchmark's")
        return self._ids[task]

    def instruction(self, task_id: str) -> str:
        """Return what is asked for, in words: the first line of o_0."""
        start = self.simulators.response(SimulatorState(self.goal(task_id)), self._cache)
        return start.observation.partition("\n")[0]


def check_panels(*, name: str, data: str, sizes: PanelSizes, options: Mapping[str, str]) -> None:
    """Refuse panels that are larger than the simulator's own splits."""
    split_tasks(KINDS[name], sizes, version="", seed=0)


def sciworld(*, data: str, sizes: str, seed: int) -> SciWorldBenchmark:
    """Load the 22 kinds of task that AgentTraj-L shows; no `data` is read."""
    return _named("sciworld", sizes, seed)


def sciworld_mini(*, data: str, sizes: str, seed: int) -> SciWorldBenchmark:
    """Load the twelve kinds whose paths are short; no `data` is read."""
    return _named("sciworld_mini", sizes, seed)


def _named(name: str, sizes: str, seed: int) -> SciWorldBenchmark:
    panels = panel_sizes(sizes) if sizes else ALL_TASKS
    return SciWorldBenchmark(KINDS[name], sizes=panels, seed=seed, max_turns=ENTRIES[name].max_turns)


def _digest(splits: Splits) -> str:
    content = "\n".join(f"{split} {' '.join(ids)}" for split, ids in splits.items())
    return hashlib.sha256(content.encode()).hexdigest()[:8]
