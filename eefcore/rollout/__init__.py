"""Play simulations from any state: EEF Algorithm 1, lines 6-9.

`rollout` plays a policy from starts, `exploration` makes the starts of an iteration, and `finders` choose expert states
from the outcomes of earlier simulations (EEF §6).
"""

from eefcore.rollout.exploration import (
    USES,
    check_replays,
    count_exploration,
    expert_starts,
    explore,
    initial_starts,
    list_uses,
    temperatures,
)
from eefcore.rollout.finders import Finder, Probe, load_finder
from eefcore.rollout.rollout import Start, rollout

__all__ = [
    "USES",
    "Finder",
    "Probe",
    "Start",
    "check_replays",
    "count_exploration",
    "expert_starts",
    "explore",
    "initial_starts",
    "list_uses",
    "load_finder",
    "rollout",
    "temperatures",
]
