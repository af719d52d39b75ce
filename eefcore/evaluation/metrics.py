"""Compute metrics of evaluated trajectories (EEF Table 3), with intervals, and compare two methods.

Functions take one sequence of trajectories for each seed, `win_rate(seed_0, seed_1, …)`, all on one panel of tasks,
one trajectory a task. An episode that the infrastructure lost leaves the denominator; `outcomes` counts it.
Navigation skills (Table 4, Figure 2) are in `eefcore.evaluation.navigation`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from eefcore.errors import CardMismatch
from eefcore.evaluation import stats
from eefcore.evaluation.navigation import navigation_rates
from eefcore.evaluation.panel import Evaluation, Run, on_common_seeds, panel_tasks, score_matrix
from eefcore.evaluation.stats import Difference, Estimate
from eefcore.protocols import Skill
from eefcore.types import Trajectory

K = TypeVar("K", int, str)
"""The name of a group of tasks."""


class Comparison(NamedTuple):
    """The difference a - b of two methods on the same tasks.

    `needed_n` is the number of tasks that would make a gap of this size significant; None if there is no gap.
    """

    wins: Difference
    reward: Difference
    needed_n: int | None


def win_rate(*runs: Run) -> Estimate:
    """Return the share of tasks with R(τ) = 1."""
    return stats.rate(score_matrix(runs, _win))


def mean_reward(*runs: Run) -> Estimate:
    """Return the mean of R(τ), in [0, 1]; an episode that was cut short has 0."""
    return stats.mean(score_matrix(runs, _reward))


def outcomes(*runs: Run) -> Counter[str]:
    """Count the outcomes of episodes over all seeds: `win`, `loss`, `turn_limit`, …, `model_failure`."""
    return Counter(t.outcome for run in runs for t in run)


def win_rate_by(group: Mapping[str, K], *runs: Run) -> dict[K, Estimate]:
    """Return the win rate within each group of tasks, groups sorted; `group` maps a task id to its difficulty.

    Raises:
        ValueError: a task has no group.
    """
    if missing := {t.task_id for run in runs for t in run} - set(group):
        raise ValueError(
            f"{len(missing)} tasks have no group, {min(missing)} is one; give each task its difficulty"
        )
    return {
        key: win_rate(*([t for t in run if group[t.task_id] == key] for run in runs))
        for key in sorted({group[t.task_id] for run in runs for t in run})
    }


def win_rate_by_step(simulations: Run) -> dict[int, Estimate]:
    """Return the win rate of simulations τ_{s_i} by i, the expert step they start from; many may share a start."""
    judged = [t for t in simulations if not t.stop.infrastructure]
    return {
        step: stats.rate(np.array([[_win(t) for t in judged if t.n_expert == step]]))
        for step in sorted({t.n_expert for t in judged})
    }


def summary(run: Run, skills: Mapping[str, Skill]) -> dict[str, float | int]:
    """Return all metrics of a panel in the keys that evaluations log (results/README.md): Tables 3 and 4."""
    wins, reward = win_rate(run), mean_reward(run)
    metrics = {
        "eval/win_rate": wins.value,
        "eval/win_rate_low": wins.low,
        "eval/win_rate_high": wins.high,
        "eval/reward": reward.value,
        "eval/n": wins.n,
        "eval/n_unjudged": sum(t.stop.infrastructure for t in run),
        "eval/steps": sum(map(len, run)) / len(run),
    }
    for name, rates in navigation_rates(skills, run).items():
        key = "_".join(name.lower().split())
        metrics[f"nav/{key}_success"] = rates.success.value
        metrics[f"nav/{key}_attempt"] = rates.attempt.value
    return metrics


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """Compare two methods on the same tasks: a - b in win rate and in reward.

    The p of win rates is McNemar's, exact, for one seed, and the paired bootstrap's for more; the p of rewards is the
    paired bootstrap's. Where both methods name their seeds, the seeds that both have are compared.

    Raises:
        CardMismatch: the methods were measured in different environments.
        ValueError: they played different tasks, or numbers of seeds that can't be paired.
    """
    if a.card.key != b.card.key:
        raise CardMismatch(
            f"{a.method} was measured under the card {a.card.key}, {b.method} under {b.card.key}: "
            f"{', '.join(a.card.differences(b.card))} differ; evaluate both in one environment"
        )
    a, b = on_common_seeds(a, b)
    panel, other = panel_tasks(a.runs), panel_tasks(b.runs)
    if set(panel) != set(other):
        raise ValueError(
            f"{a.method} played {len(panel)} tasks, {b.method} {len(other)}, "
            f"{len(set(panel) & set(other))} in common; evaluate both on one panel"
        )
    wins_a, wins_b = (score_matrix(e.runs, _win, panel) for e in (a, b))
    wins = stats.difference(wins_a, wins_b)
    rewards = stats.difference(*(score_matrix(e.runs, _reward, panel) for e in (a, b)))
    if not wins.n:
        return Comparison(wins, rewards, None)
    discordant = float(np.nanmean(np.abs(wins_a - wins_b)))
    return Comparison(wins, rewards, stats.needed_n(wins.value, discordant))


def _win(t: Trajectory) -> float:
    return float(t.win)


def _reward(t: Trajectory) -> float:
    return t.reward
