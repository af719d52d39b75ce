"""Play simulations from any state: EEF Algorithm 1, lines 6-9.

`rollout` plays a policy from starts, `exploration` makes the starts of an iteration, and `finders` choose expert states
from the outcomes of earlier simulations (EEF §6).
"""

from eefcore.rollout.exploration import (
    ExplorationCounts,
    RefusedTrajectory,
    ReplayCheck,
    check_replays,
    count_exploration,
    expert_starts,
    explore,
    initial_starts,
    temperatures,
)
from eefcore.rollout.finders import Bandit, Binary, Finder, Fixed, Probe, fewest_expert_actions, load_finder
from eefcore.rollout.rollout import Start, replay, restore, rollout

__all__ = [
    "Bandit",
    "Binary",
    "ExplorationCounts",
    "Finder",
    "Fixed",
    "Probe",
    "RefusedTrajectory",
    "ReplayCheck",
    "Start",
    "check_replays",
    "count_exploration",
    "expert_starts",
    "explore",
    "fewest_expert_actions",
    "initial_starts",
    "load_finder",
    "replay",
    "restore",
    "rollout",
    "temperatures",
]
