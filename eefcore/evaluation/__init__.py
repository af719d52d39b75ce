"""Measure trajectories: win rate, reward, navigation skills (EEF Tables 3 and 4), and statistics with intervals.

Every number is an `Estimate` with a 95 % interval; methods are compared in pairs, on the same tasks.
"""

from eefcore.evaluation.metrics import (
    Comparison,
    compare,
    mean_reward,
    outcomes,
    summary,
    win_rate,
    win_rate_by,
    win_rate_by_step,
)
from eefcore.evaluation.navigation import (
    SkillRates,
    navigation_rates,
    skill_from_pattern,
    skill_win_ratio,
    skills_by_action,
    uses_skill,
)
from eefcore.evaluation.panel import Evaluation, Run, score_matrix
from eefcore.evaluation.stats import (
    Difference,
    Estimate,
    bootstrap,
    difference,
    holm,
    mcnemar,
    mean,
    needed_n,
    rate,
    ratio,
    wilson,
)

__all__ = [
    "Comparison",
    "Difference",
    "Estimate",
    "Evaluation",
    "Run",
    "SkillRates",
    "bootstrap",
    "compare",
    "difference",
    "holm",
    "mcnemar",
    "mean",
    "mean_reward",
    "navigation_rates",
    "needed_n",
    "outcomes",
    "rate",
    "ratio",
    "score_matrix",
    "skill_from_pattern",
    "skill_win_ratio",
    "skills_by_action",
    "summary",
    "uses_skill",
    "wilson",
    "win_rate",
    "win_rate_by",
    "win_rate_by_step",
]
