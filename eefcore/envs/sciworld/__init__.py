"""ScienceWorld, deterministic: its simulator on a gateway of our own, states restored by verified replay.

jvm         one Java process: flags that make it repeat itself, and its certain end
simulator   many worlds in one process, each as if alone; the simulator's own gold paths
worlds      what is seen at any state: remembered, or played in a warm world
tasks       kinds, variations, the simulator's splits, AgentGym's numbers
skills      what to call navigation here
env         an episode by win or loss, `eefcore.protocols.Environment`
benchmark   `eefcore.protocols.Benchmark`
"""

from eefcore.envs.sciworld.benchmark import SciWorldBenchmark
from eefcore.envs.sciworld.env import SciWorld
from eefcore.envs.sciworld.tasks import Task

__all__ = ["SciWorld", "SciWorldBenchmark", "Task"]
