"""Intervals and paired tests on arrays: a value is never alone.

    wilson             a share of n
    rate, mean         over seeds × tasks, values [R, T]
    difference         paired on the same tasks, with p
    ratio              paired likewise: how many times as often
    mcnemar, holm      exact for one seed; many comparisons
    needed_n           the panel that would tell a gap

Values are [R, T]: R seeds that played the same T tasks, NaN where an episode was lost to the infrastructure.
An interval is for 95 %. With several seeds both seeds and tasks are drawn anew (a crossed bootstrap), so it
speaks of other seeds and other tasks; of one seed it can only speak of other tasks. Of R seeds R - 1 are drawn,
which makes the variance between them unbiased (Rao and Wu 1988): with three seeds whose logits differ by
0.4 and 250 tasks, 95 % intervals then hold the truth 96 times in 100, against 93 with R draws and 60 from one seed
alone. Where seeds do not differ at all the intervals are a little wide (98 in 100).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
DRAWS = 5000  # of the bootstrap: p is told to 0.0004
_Z = float(stats.norm.ppf(0.975))


class Estimate(NamedTuple):
    """A number and its 95 % interval. All three are NaN when nothing could be judged: unscored is not 0."""

    value: float
    low: float
    high: float
    n: int  # tasks
    seeds: int = 1


class Difference(NamedTuple):
    """a - b on the same tasks, its 95 % interval, and p of no difference."""

    value: float
    low: float
    high: float
    p: float
    n: int
    seeds: int = 1


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Wilson's score interval of a share. Both may be fractions: an effective sample size is one."""
    share, z2 = successes / n, _Z**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    half = _Z / (1 + z2) * math.sqrt(share * (1 - share) / n + z2 / (4 * n))
    # Rounding must not push the end of a share of exactly 0 or 1 off it.
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


def rate(values: Array) -> Estimate:
    """The share of ones, with Wilson's interval.

    With several seeds n is replaced by the effective size p (1 - p) / V, V the crossed bootstrap's
    variance: seeds that repeat each other's tasks are not new tasks. Where all agree V is 0, and n is
    the number of tasks.
    """
    return _estimate(values, lambda share, n: _rate_interval(values, share, n))


def mean(values: Array) -> Estimate:
    """The mean, with the percentiles of the crossed bootstrap."""
    return _estimate(values, lambda _, __: _percentiles(bootstrap(values)))


def difference(a: Array, b: Array) -> Difference:
    """Mean of a - b, paired by task and seed; where either is missing neither counts.

    One row is held against each seed of the other side (an expert plays once). The interval and, in general,
    p come from the paired bootstrap; for two single seeds of zeros and ones p is McNemar's, exact.
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
    drawn = bootstrap(gaps)
    if len(gaps) == 1 and np.isin(gaps[~np.isnan(gaps)], (-1.0, 0.0, 1.0)).all():
        p = mcnemar(int((gaps == 1).sum()), int((gaps == -1).sum()))
    else:
        tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
        p = min(1.0, 2 * float(tail + 1) / (len(drawn) + 1))
    return Difference(float(np.nanmean(gaps)), *_percentiles(drawn), p, n, len(gaps))


def ratio(a: Array, b: Array) -> Estimate:
    """Mean of a over mean of b where both are judged, and the percentiles of the paired bootstrap.

    Where b is never more than 0 it is infinite, and not a number where a is neither; an end of the interval
    may be infinite as well.
    """
    missing = np.isnan(a) | np.isnan(b)
    kept = [np.where(missing, np.nan, x) for x in (a, b)]
    n = int((~missing).any(axis=0).sum())
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0, len(a))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.divide(*(np.nanmean(x) for x in kept))
        drawn = np.divide(*(bootstrap(x) for x in kept))
    told = drawn[~np.isnan(drawn)]
    if not len(told):
        return Estimate(math.nan, math.nan, math.nan, n, len(a))
    # Between a finite ratio and an infinite one there is no middle.
    low, high = np.percentile(told, (2.5, 97.5), method="nearest")
    return Estimate(float(value), float(low), float(high), n, len(a))


def mcnemar(only_a: int, only_b: int) -> float:
    """p of McNemar's exact test: of the tasks that one of two won, half should be each one's."""
    discordant = only_a + only_b
    return float(stats.binomtest(only_a, discordant).pvalue) if discordant else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """p adjusted for being one of many (Holm 1979), in the order given; NaN is no comparison and stays."""
    tested = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    out, highest = [math.nan] * len(p), 0.0
    for rank, (value, i) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * value))
        out[i] = highest
    return out


def needed_n(gap: float, discordant: float, *, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Tasks with which McNemar's test would tell `gap`; None if there is no gap to tell.

    n = (z_{α/2} √d + z_β √(d - gap²))² / gap² (Connett, Smith and McHugh 1987), never fewer than could
    give a p below α at all.

    Args:
        gap: difference of two win rates, in either direction.
        discordant: d, the share of tasks won by exactly one of the two, in one seed; at least the gap.
    """
    if not abs(gap) <= discordant <= 1:
        raise ValueError(
            f"a gap of {gap} needs at least that share of discordant tasks, and not {discordant}"
        )
    if gap == 0:
        return None
    z_alpha, z_beta = stats.norm.ppf(1 - alpha / 2), stats.norm.ppf(power)
    n = (z_alpha * math.sqrt(discordant) + z_beta * math.sqrt(discordant - gap**2)) ** 2 / gap**2
    least = (1 + math.log2(1 / alpha)) / discordant
    return math.ceil(max(n, least))


def bootstrap(values: Array) -> Array:
    """Means [DRAWS] of `values` with seeds and tasks drawn anew, independently, with replacement."""
    seeds, tasks = _weights(*values.shape)
    judged = ~np.isnan(values)
    total = ((seeds @ np.where(judged, values, 0.0).astype(np.float32)) * tasks).sum(axis=1)
    count = ((seeds @ judged.astype(np.float32)) * tasks).sum(axis=1)
    # A draw that holds nothing judged says nothing.
    return (total[count > 0] / count[count > 0]).astype(np.float64)


@lru_cache(maxsize=8)
def _weights(R: int, T: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How often each seed [DRAWS, R] and each task [DRAWS, T] is drawn; the same for all, so that methods pair."""
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


def _percentiles(drawn: Array) -> tuple[float, float]:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)
