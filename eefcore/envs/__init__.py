"""Environments: WebShop, ScienceWorld and the booking site, and the registry that loads a benchmark by the name in a params file.

`load` returns a benchmark (`eefcore.protocols.Benchmark`); `registry.ENTRIES` lists what there is, one entry for each
name. A name followed by `+composite` is for agents of composite actions, as in Agent Q.
"""

from eefcore.envs.composite import CompositeBenchmark
from eefcore.envs.panels import PanelSizes, panel_sizes
from eefcore.envs.registry import ENTRIES, Entry, EpisodeSize, load, max_turns, name_as_recorded

__all__ = [
    "ENTRIES",
    "CompositeBenchmark",
    "Entry",
    "EpisodeSize",
    "PanelSizes",
    "load",
    "max_turns",
    "name_as_recorded",
    "panel_sizes",
]
