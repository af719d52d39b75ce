"""Scripted ScienceWorld experts of several strengths, and the base skills on which a tiny base is pretrained.

`make_scientist` returns the `Scientist` of a strength; `MistakeRates` says which mistakes an imperfect one makes, and how
often. `read_agenttraj` replays AgentTraj-L's recorded trajectories in today's simulator.
"""

from eefcore.experts.sciworld.agenttraj import AgentTraj, read_agenttraj
from eefcore.experts.sciworld.experts import EXPERTS, STRENGTHS, make_scientist, task_kinds
from eefcore.experts.sciworld.scene import Scene, read_scene
from eefcore.experts.sciworld.scientist import Habits, MistakeRates, Scientist

__all__ = [
    "EXPERTS",
    "STRENGTHS",
    "AgentTraj",
    "Habits",
    "MistakeRates",
    "Scene",
    "Scientist",
    "make_scientist",
    "read_agenttraj",
    "read_scene",
    "task_kinds",
]
