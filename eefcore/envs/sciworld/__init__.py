"""ScienceWorld, made deterministic: its own simulator in Java, whose states are restored by a checked replay.

`SciWorldBenchmark` makes panels of tasks and environments, `SciWorld` plays one episode at a time, and a `Task` is one
of thirty kinds in one of its variations.
"""

from eefcore.envs.sciworld.benchmark import SciWorldBenchmark
from eefcore.envs.sciworld.env import SciWorld
from eefcore.envs.sciworld.tasks import Task

__all__ = ["SciWorld", "SciWorldBenchmark", "Task"]
