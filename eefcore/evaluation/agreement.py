"""Measure how well a judge's verdicts agree with the exact grader: precision, recall and Cohen's kappa, with intervals.

Both are zeros and ones of the shape [R, T], R seeds and T tasks, NaN where there is no verdict or no grade: such an episode
is counted, and in no denominator. Precision comes first, because judges of web agents err by seeing success where there is
none (AgentRewardBench: precision 64 to 70 % at a recall of 72 to 86 %).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from eefcore.evaluation import stats
from eefcore.evaluation.stats import Array, Estimate


class Agreement(NamedTuple):
    """How well a judge agrees with the exact grader."""

    precision: Estimate  # share of the episodes judged a success that are one
    recall: Estimate  # share of the successes that are judged one
    kappa: Estimate  # Cohen's: agreement beyond that of two raters who say yes as often, but at random
    judged: Estimate  # share of the episodes judged a success
    exact: Estimate  # share of the same episodes that are one
    no_verdict: int  # episodes that were graded and have no verdict


def agreement(judged: Array, exact: Array) -> Agreement:
    """Compare verdicts with grades on the same episodes.

    Raises:
        ValueError: the two have different shapes.
    """
    if judged.shape != exact.shape:
        raise ValueError(
            f"verdicts are of shape {judged.shape}, grades of {exact.shape}; judge the same episodes"
        )
    missing = np.isnan(judged) | np.isnan(exact)
    verdicts, grades = (np.where(missing, np.nan, x) for x in (judged, exact))
    return Agreement(
        precision=stats.rate(np.where(verdicts == 1, grades, np.nan)),
        recall=stats.rate(np.where(grades == 1, verdicts, np.nan)),
        kappa=_kappa(verdicts, grades),
        judged=stats.rate(verdicts),
        exact=stats.rate(grades),
        no_verdict=int((np.isnan(judged) & ~np.isnan(exact)).sum()),
    )


def _kappa(judged: Array, exact: Array) -> Estimate:
    """Return κ = (p_o - p_e) / (1 - p_e), with the percentiles of the crossed bootstrap.

    p_o is the share of equal answers and p_e the share that chance would give two raters with these shares of yes. κ is NaN
    where both always give one and the same answer, so that chance agrees as often. Where all answers are equal, resampling
    finds no spread; the lower end is then Wilson's for p_o.
    """
    equal = np.where(np.isnan(judged), np.nan, (judged == exact).astype(float))
    n = int((~np.isnan(equal)).any(axis=0).sum())
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0, len(equal))
    p_o, yes_judged, yes_exact = (float(np.nanmean(x)) for x in (equal, judged, exact))
    value = float(_beyond_chance(np.array([p_o]), np.array([yes_judged]), np.array([yes_exact]))[0])
    if math.isnan(value):
        return Estimate(math.nan, math.nan, math.nan, n, len(equal))
    if p_o == 1.0:
        p_e = _chance(np.array([yes_judged]), np.array([yes_exact]))[0]
        low = (stats.rate(equal).low - p_e) / (1 - p_e)
        return Estimate(value, float(max(low, -1.0)), 1.0, n, len(equal))
    resampled = _beyond_chance(*(stats.bootstrap(x) for x in (equal, judged, exact)))
    low, high = np.percentile(resampled[~np.isnan(resampled)], (2.5, 97.5))
    return Estimate(value, float(low), float(high), n, len(equal))


def _chance(yes_judged: Array, yes_exact: Array) -> Array:
    return yes_judged * yes_exact + (1 - yes_judged) * (1 - yes_exact)


def _beyond_chance(equal: Array, yes_judged: Array, yes_exact: Array) -> Array:
    """Return κ of each triple of shares; NaN where chance would always agree."""
    chance = _chance(yes_judged, yes_exact)
    # The shares of a resample carry rounding, and none lies as near to 1 with two answers among so few episodes.
    certain = chance > 1 - 1e-9
    return np.where(certain, np.nan, (equal - chance) / np.where(certain, 1.0, 1 - chance))
