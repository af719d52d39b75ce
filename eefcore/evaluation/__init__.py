"""Measure trajectories: win rate, reward, navigation skills (EEF Tables 3 and 4), and statistics with intervals.

Every number is an `Estimate` with a 95 % interval; methods are compared in pairs, on the same tasks.
"""

from eefcore.evaluation.metrics import (
    compare,
    mean_reward,
    outcomes,
    summary,
    win_rate,
    win_rate_by,
    win_rate_by_step,
)
from eefcore.evaluation.navigation import navigation_rates, skill_from_pattern, skill_win_ratio
from eefcore.evaluation.panel import Evaluation
from eefcore.evaluation.stats import Estimate

__all__ = [
    "Estimate",
    "Evaluation",
    "compare",
    "mean_reward",
    "navigation_rates",
    "outcomes",
    "skill_from_pattern",
    "skill_win_ratio",
    "summary",
    "win_rate",
    "win_rate_by",
    "win_rate_by_step",
]
