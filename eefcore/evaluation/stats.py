"""Compute confidence intervals and paired tests on arrays of scores [seeds, tasks].

Values have the shape [R, T]: R seeds that played the same T tasks, NaN where an episode was lost to the infrastructure.
Intervals are for 95 %. With several seeds, both seeds and tasks are resampled (a crossed bootstrap), so the interval
holds for other seeds and other tasks; with one seed it holds for other tasks only. Of R seeds, R - 1 are drawn, which
makes the variance between seeds unbiased (Rao and Wu 1988): with three seeds whose logits differ by 0.4 and 250 tasks,
95 % intervals then cover the truth 96 times in 100, against 93 with R draws and 60 from one seed alone. Where seeds do
not differ at all, the intervals are a little wide (98 in 100).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DRAWS = 5000
"""Resamples of the bootstrap; they resolve p to 0.0004."""


class Estimate(NamedTuple):
    """A number and its 95 % interval; all three are NaN when no episode could be judged: unscored is not 0."""

    value: float
    low: float
    high: float
    n: int  # tasks that were judged
    seeds: int = 1


class Difference(NamedTuple):
    """The mean of a - b on the same tasks, its 95 % interval, and the p-value of no difference."""

    value: float
    low: float
    high: float
    p: float
    n: int
    seeds: int = 1


class Gap(NamedTuple):
    """The difference a - b of two independent estimates, and its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share; both numbers may be fractions, as an effective sample size is."""
    z = _normal_quantile(0.975)
    share, z2 = successes / n, z**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    half = z / (1 + z2) * math.sqrt(share * (1 - share) / n + z2 / (4 * n))
    # Rounding must not move the end of an interval whose share is exactly 0 or 1.
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


def rate(values: Array) -> Estimate:
    """Return the share of ones, with Wilson's interval.

    With several seeds, n is the effective sample size p (1 - p) / V, with the variance V of the crossed bootstrap: a
    seed that repeats the tasks of another adds none. Where all seeds agree, V is 0 and n is the number of tasks.
    """
    return _estimate(values, lambda share, n: _rate_interval(values, share, n))


def mean(values: Array) -> Estimate:
    """Return the mean, with the percentiles of the crossed bootstrap."""
    return _estimate(values, lambda _, __: _percentiles(bootstrap(values)))


def difference(a: Array, b: Array) -> Difference:
    """Return the mean of a - b, paired by task and seed; a pair of which either is missing does not count.

    A side with one row is compared with each seed of the other side (an expert plays once). The interval and, in
    general, p come from the paired bootstrap; for single seeds of zeros and ones, p is McNemar's, exact.
    """
    if a.shape[1] != b.shape[1] or (a.shape[0] != b.shape[0] and 1 not in (a.shape[0], b.shape[0])):
        raise ValueError(
            f"{a.shape[0]} seeds × {a.shape[1]} tasks can't be paired with {b.shape[0]} × {b.shape[1]}; "
            "evaluate both on one panel and with the same seeds, or one of them once"
        )
    gaps = a - b
    n = int((~np.isnan(gaps)).any(axis=0).sum())
    if not n:
        return Difference(math.nan, math.nan, math.nan, math.nan, 0, len(gaps))
    resampled = bootstrap(gaps)
    if len(gaps) == 1 and np.isin(gaps[~np.isnan(gaps)], (-1.0, 0.0, 1.0)).all():
        p = mcnemar(int((gaps == 1).sum()), int((gaps == -1).sum()))
    else:
        tail = min((resampled <= 0).sum(), (resampled >= 0).sum())
        p = min(1.0, 2 * float(tail + 1) / (len(resampled) + 1))
    return Difference(float(np.nanmean(gaps)), *_percentiles(resampled), p, n, len(gaps))


def independent_difference(a: Estimate, b: Estimate) -> Gap:
    """Return a - b of estimates on other tasks, with the 95 % interval that follows from theirs (Zou and Donner 2008).

    The distance of each end is the root of the sum of the squared distances in the two intervals. Of shares with Wilson's
    intervals this is Newcombe's interval of a difference (1998, method 10), which holds for shares of 0 as well.
    """
    gap = a.value - b.value
    low = gap - math.hypot(a.value - a.low, b.high - b.value)
    return Gap(gap, low, gap + math.hypot(a.high - a.value, b.value - b.low))


def ratio(a: Array, b: Array) -> Estimate:
    """Return the mean of a over the mean of b where both are judged, with the percentiles of the paired bootstrap.

    Where b is never above 0, the ratio is infinite; it is NaN where a is never above 0 either. An end of the interval
    may be infinite as well.
    """
    missing = np.isnan(a) | np.isnan(b)
    paired = [np.where(missing, np.nan, x) for x in (a, b)]
    n = int((~missing).any(axis=0).sum())
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0, len(a))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.divide(*(np.nanmean(x) for x in paired))
        resampled = np.divide(*(bootstrap(x) for x in paired))
    ratios = resampled[~np.isnan(resampled)]
    if not len(ratios):
        return Estimate(math.nan, math.nan, math.nan, n, len(a))
    # Nothing lies between a finite ratio and an infinite one to interpolate.
    low, high = np.percentile(ratios, (2.5, 97.5), method="nearest")
    return Estimate(float(value), float(low), float(high), n, len(a))


def mcnemar(only_a: int, only_b: int) -> float:
    """Return p of McNemar's exact test: of the tasks that one of two methods won, each should have won half."""
    from scipy.stats import binomtest  # loads slowly, and environments import this module

    discordant = only_a + only_b
    return float(binomtest(only_a, discordant).pvalue) if discordant else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for many comparisons (Holm 1979), in the same order; NaN is no comparison and stays."""
    tested = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    out, highest = [math.nan] * len(p), 0.0
    for rank, (value, i) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * value))
        out[i] = highest
    return out


def needed_n(gap: float, discordant: float, *, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Return the number of tasks that would make `gap` significant in McNemar's test; None if the gap is 0.

    n = (z_{α/2} √d + z_β √(d - gap²))² / gap² (Connett, Smith and McHugh 1987), and never fewer tasks than a p below α
    needs at all.

    Args:
        gap: the difference of two win rates, in either direction.
        discordant: d, the share of tasks won by exactly one of the two, in one seed; at least the gap.
    """
    if not abs(gap) <= discordant <= 1:
        raise ValueError(
            f"a gap of {gap} needs at least that share of discordant tasks, and not {discordant}"
        )
    if gap == 0:
        return None
    z_alpha, z_beta = _normal_quantile(1 - alpha / 2), _normal_quantile(power)
    n = (z_alpha * math.sqrt(discordant) + z_beta * math.sqrt(discordant - gap**2)) ** 2 / gap**2
    least = (1 + math.log2(1 / alpha)) / discordant
    return math.ceil(max(n, least))


def bootstrap(values: Array) -> Array:
    """Return the means [DRAWS] of `values` with seeds and tasks resampled, independently, with replacement."""
    seeds, tasks = _weights(*values.shape)
    judged = ~np.isnan(values)
    total = ((seeds @ np.where(judged, values, 0.0).astype(np.float32)) * tasks).sum(axis=1)
    count = ((seeds @ judged.astype(np.float32)) * tasks).sum(axis=1)
    # A resample in which no episode was judged has no mean.
    return (total[count > 0] / count[count > 0]).astype(np.float64)


@lru_cache(maxsize=8)
def _weights(R: int, T: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how often each seed [DRAWS, R] and each task [DRAWS, T] is drawn: the same for all methods, which pairs them."""
    rng = np.random.default_rng(0)
    seeds = rng.multinomial(max(R - 1, 1), np.full(R, 1 / R), size=DRAWS)
    tasks = rng.multinomial(T, np.full(T, 1 / T), size=DRAWS)
    return seeds.astype(np.float32), tasks.astype(np.float32)


def _estimate(values: Array, interval: Callable[[float, int], tuple[float, float]]) -> Estimate:
    if values.ndim != 2:
        raise ValueError(f"values are [seeds, tasks], got the shape {values.shape}")
    n = int((~np.isnan(values)).any(axis=0).sum())
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0, len(values))
    value = float(np.nanmean(values))
    return Estimate(value, *interval(value, n), n, len(values))


def _rate_interval(values: Array, share: float, n: int) -> tuple[float, float]:
    if len(values) == 1 or share in (0.0, 1.0):
        return wilson(share * n, n)
    variance = float(bootstrap(values).var())
    judged = int((~np.isnan(values)).sum())
    effective = min(share * (1 - share) / variance, judged) if variance else n
    return wilson(share * effective, effective)


def _percentiles(resampled: Array) -> tuple[float, float]:
    low, high = np.percentile(resampled, (2.5, 97.5))
    return float(low), float(high)


@cache
def _normal_quantile(p: float) -> float:
    from scipy.special import ndtri  # loads slowly, and environments import this module

    return float(ndtri(p))
