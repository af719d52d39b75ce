"""The ScienceWorld benchmarks that params files name (`envs.registry`): all kinds of AgentTraj-L, or the short ones."""

from __future__ import annotations

from eefcore.envs.panels import ALL_TASKS, panel_sizes
from eefcore.envs.registry import ENTRIES
from eefcore.envs.sciworld.benchmark import SciWorldBenchmark
from eefcore.envs.sciworld.tasks import MINI, SCIWORLD

KINDS = {"sciworld": SCIWORLD, "sciworld_mini": MINI}
"""Kinds of task by the benchmark's name."""


def sciworld(*, data: str, sizes: str, seed: int) -> SciWorldBenchmark:
    """Load the 22 kinds of task that AgentTraj-L shows."""
    del data  # nothing is read
    return _named("sciworld", sizes, seed)


def sciworld_mini(*, data: str, sizes: str, seed: int) -> SciWorldBenchmark:
    """Load the twelve kinds whose paths are short."""
    del data  # nothing is read
    return _named("sciworld_mini", sizes, seed)


def _named(name: str, sizes: str, seed: int) -> SciWorldBenchmark:
    panels = panel_sizes(sizes) if sizes else ALL_TASKS
    return SciWorldBenchmark(KINDS[name], sizes=panels, seed=seed, max_turns=ENTRIES[name].max_turns)
