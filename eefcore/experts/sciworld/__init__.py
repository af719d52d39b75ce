"""Scripted ScienceWorld experts of several strengths, and the base skills on which a tiny base is pretrained.

`make_scientist` returns the `Scientist` of a strength; `MistakeRates` says which mistakes an imperfect one makes, and how
often. `read_agenttraj` replays AgentTraj-L's recorded trajectories in today's simulator.
"""

from eefcore.experts.sciworld.agenttraj import read_agenttraj
from eefcore.experts.sciworld.experts import EXPERTS
from eefcore.experts.sciworld.scientist import STRENGTHS, Habits, MistakeRates, Scientist, make_scientist

__all__ = [
    "EXPERTS",
    "STRENGTHS",
    "Habits",
    "MistakeRates",
    "Scientist",
    "make_scientist",
    "read_agenttraj",
]
