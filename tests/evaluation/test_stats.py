"""Intervals and tests: numbers worked by hand, equality with scipy, and properties of any numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from eefcore.evaluation import stats

NAN = math.nan
binary = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=40)


@pytest.mark.parametrize("wins, n", [(0, 10), (3, 10), (10, 10), (1, 1), (146, 250)])
def test_wilson_agrees_with_scipy(wins, n):
    expected = reference.binomtest(wins, n).proportion_ci(method="wilson")
    assert stats.wilson(wins, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_wilson_interval_matches_a_hand_computation():
    """5 of 10: centre ½, half-width z / (1 + z²/n) · √(¼/n + z²/4n²) = ½ z / √(n + z²)."""
    z = 1.959964
    half = z / (2 * math.sqrt(10 + z * z))
    assert stats.wilson(5, 10) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)


@given(binary)
def test_one_seed_has_wilsons_interval(won):
    rate = stats.rate(np.array([won]))
    assert rate[1:3] == stats.wilson(sum(won), len(won))
    assert 0 <= rate.low <= rate.value <= rate.high <= 1


@given(st.lists(binary.filter(lambda x: len(x) >= 6).map(lambda x: x[:6]), min_size=2, max_size=4))
def test_seeds_give_a_rate_within_its_interval(won):
    rate = stats.rate(np.array(won))
    assert 0 <= rate.low <= rate.value <= rate.high <= 1
    assert (rate.n, rate.seeds) == (6, len(won))


def test_seeds_that_agree_do_not_narrow_the_interval():
    """Three equal seeds have the interval of one; three that differ at random have a narrower one."""
    rng = np.random.default_rng(1)
    one = (rng.random((1, 200)) < 0.4).astype(float)
    equal, apart = np.repeat(one, 3, axis=0), (rng.random((3, 200)) < 0.4).astype(float)
    single, same, different = (stats.rate(v) for v in (one, equal, apart))
    assert _width(same) == pytest.approx(_width(single), rel=0.05)
    assert _width(different) < 0.95 * _width(same)


def test_seeds_that_differ_widen_the_interval():
    steady = np.repeat([[1.0] * 50 + [0.0] * 50], 3, axis=0)
    shaken = np.stack([np.arange(100) < k for k in (20, 50, 80)]).astype(float)
    assert stats.rate(shaken).value == stats.rate(steady).value
    assert _width(stats.rate(shaken)) > 2 * _width(stats.rate(steady))


def test_a_rate_of_0_over_several_seeds_has_an_interval_above_0():
    assert stats.rate(np.zeros((3, 50))) == (0.0, *stats.wilson(0, 50), 50, 3)


@pytest.mark.parametrize("R", [1, 2, 5])
def test_the_bootstrap_has_the_variance_of_the_mean(R):
    """One seed, or equal seeds: s² / T. Equal tasks: s² of the seeds / R."""
    tasks = np.random.default_rng(0).normal(size=(1, 300))
    drawn = stats.bootstrap(np.repeat(tasks, R, axis=0))
    assert drawn.var() == pytest.approx(tasks.var() / 300, rel=0.1)
    if R > 1:
        seeds = np.random.default_rng(0).normal(size=(R, 1))
        assert stats.bootstrap(np.repeat(seeds, 300, axis=1)).var() == pytest.approx(
            seeds.var(ddof=1) / R, rel=0.1
        )


def test_the_mean_has_the_t_interval_of_many_tasks():
    values = np.random.default_rng(0).random((1, 400))
    t = reference.ttest_1samp(values[0], 0.5).confidence_interval(0.95)
    assert stats.mean(values)[1:3] == pytest.approx((t.low, t.high), abs=0.003)


def test_intervals_cover_the_truth_when_seeds_differ():
    """The coverage that the module states for three seeds whose logits differ by 0.4, and for one."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=200_000) * math.sqrt(0.4**2 + 2**2)
    truth = (1 / (1 + np.exp(0.2 - noise))).mean()
    held = {1: 0, 3: 0}
    for _ in range(300):
        for R in held:
            logits = -0.2 + 0.4 * rng.normal(size=(R, 1)) + 2 * rng.normal(size=(1, 250))
            rate = stats.rate((rng.random((R, 250)) < 1 / (1 + np.exp(-logits))).astype(float))
            held[R] += rate.low <= truth <= rate.high
    assert held[3] > 0.92 * 300
    assert held[1] < 0.75 * 300


def test_tasks_that_could_not_be_judged_are_nan_and_not_0():
    nothing = stats.rate(np.full((2, 3), NAN))
    assert all(math.isnan(x) for x in nothing[:3])
    assert nothing.n == 0
    assert stats.rate(np.array([[1.0, NAN, 0.0]])) == (0.5, *stats.wilson(1, 2), 2, 1)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (6, 0, 2 * 0.5**6),
        (0, 6, 2 * 0.5**6),
        (8, 2, 2 * (45 + 10 + 1) / 1024),
    ],
)
def test_mcnemars_p_matches_a_hand_computation(only_a, only_b, p):
    assert stats.mcnemar(only_a, only_b) == pytest.approx(p)


def test_one_seed_is_paired_by_mcnemar():
    """Eight tasks won by a alone, two by b alone, and ninety alike."""
    a, b = np.zeros((2, 1, 100))
    a[0, :8], b[0, 8:10], a[0, 50:], b[0, 50:] = 1, 1, 1, 1
    gap = stats.difference(a, b)
    assert gap.value == pytest.approx(0.06)
    assert gap.p == pytest.approx(stats.mcnemar(8, 2))
    sd = math.sqrt(0.10 - 0.06**2) / 10
    assert (gap.low, gap.high) == pytest.approx((0.06 - 1.96 * sd, 0.06 + 1.96 * sd), abs=0.008)


def test_paired_reward_has_the_p_of_a_t_test():
    rng = np.random.default_rng(3)
    b = rng.random((1, 200))
    a = b + 0.02 + 0.15 * rng.normal(size=(1, 200))
    expected = reference.ttest_rel(a[0], b[0])
    gap = stats.difference(a, b)
    assert gap.p == pytest.approx(expected.pvalue, abs=0.02)
    interval = expected.confidence_interval(0.95)
    assert (gap.low, gap.high) == pytest.approx((interval.low, interval.high), abs=0.003)


def test_a_paired_difference_is_narrower_than_two_separate_intervals():
    """A method that wins the same tasks and a few more."""
    b = np.array([[1.0] * 100 + [0.0] * 150])
    a = b.copy()
    a[0, 100:112] = 1
    assert stats.rate(a).low < stats.rate(b).high
    assert stats.difference(a, b).p < 0.001


@given(binary, st.randoms(use_true_random=False))
def test_swapping_the_sides_negates_the_difference(won, random):
    a, b = np.array([won]), np.array([random.sample(won, len(won))])
    there, back = stats.difference(a, b), stats.difference(b, a)
    assert back.value == -there.value
    assert back.p == there.p
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


def test_seeds_are_paired_seed_by_seed():
    """A seed that is easier for both methods adds no difference: a gap of 0.1 in every seed is significant."""
    rng = np.random.default_rng(0)
    seeds = np.array([[0.1], [0.4], [0.7]])
    b = np.clip(seeds + 0.05 * rng.normal(size=(3, 60)), 0, 1)
    gap = stats.difference(b + 0.1, b)
    assert gap.value == pytest.approx(0.1)
    assert gap.p < 0.001
    assert _width(gap) < 0.01


def test_no_difference_has_p_1():
    won = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    assert stats.difference(won, won) == (0.0, 0.0, 0.0, 1.0, 3, 2)


def test_an_expert_that_played_once_is_compared_with_each_seed():
    assert stats.difference(np.ones((3, 20)), np.zeros((1, 20))).value == 1.0


def test_a_ratio_is_of_means_and_its_interval_holds_the_truth():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(60):
        skill = rng.random(300)  # the same tasks are easy for both
        a, b = ((skill < share).astype(float)[None] for share in (0.6, 0.2))
        flip = rng.random((2, 300)) < 0.1
        a, b = np.where(flip[0], rng.random(300) < 0.6, a), np.where(flip[1], rng.random(300) < 0.2, b)
        found = stats.ratio(a, b)
        assert found.value == pytest.approx(a.mean() / b.mean())
        assert found.low <= found.value <= found.high
        held += found.low <= 3 <= found.high
    assert held >= 52  # 95 % of 60 are 57


@pytest.mark.parametrize(
    "a, b, value",
    [
        ([1, 1, 0, 0], [1, 0, 0, 0], 2.0),
        ([1, 0, NAN, 1], [1, 0, 1, NAN], 1.0),  # only where both are judged
        ([1, 1], [0, 0], math.inf),
        ([0, 0], [1, 1], 0.0),
    ],
)
def test_a_ratio_matches_a_hand_computation(a, b, value):
    assert stats.ratio(np.array([a], float), np.array([b], float)).value == value


@pytest.mark.parametrize("a, b", [([0, 0], [0, 0]), ([NAN, 1], [1, NAN])])
def test_the_ratio_of_zero_to_zero_is_nan(a, b):
    assert all(map(math.isnan, stats.ratio(np.array([a], float), np.array([b], float))[:3]))


def test_arrays_that_can_not_be_paired_are_refused():
    with pytest.raises(ValueError, match="can't be paired"):
        stats.difference(np.ones((3, 20)), np.zeros((2, 20)))


def test_holms_correction_matches_a_hand_computation():
    """0.01 · 3, then 0.02 · 2, then max(0.04, 0.03 · 1): corrected values never fall."""
    assert stats.holm([0.03, 0.01, NAN, 0.02]) == pytest.approx([0.04, 0.03, NAN, 0.04], nan_ok=True)
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_corrects_upwards_and_keeps_the_order(p):
    corrected = stats.holm(p)
    assert all(a <= b <= 1 for a, b in zip(p, corrected, strict=True))
    assert [corrected[i] for i in np.argsort(p)] == sorted(corrected)


def test_number_of_tasks_needed_matches_a_hand_computation():
    """(1.95996 √0.3 + 0.84162 √(0.3 - 0.01))² / 0.01 = (1.07352 + 0.45323)² / 0.01 = 233.1."""
    assert stats.needed_n(0.1, 0.3) == 234
    assert stats.needed_n(-0.1, 0.3) == 234


@pytest.mark.parametrize("gap, discordant", [(0.06, 0.2), (0.1, 0.3), (0.2, 0.3), (0.15, 0.15)])
def test_needed_n_tasks_have_about_the_requested_power(gap, discordant):
    n = stats.needed_n(gap, discordant)
    rng = np.random.default_rng(0)
    only_a = (discordant + gap) / 2
    tables = rng.multinomial(n, [only_a, discordant - only_a, 1 - discordant], size=600)
    power = np.mean([stats.mcnemar(a, b) < 0.05 for a, b, _ in tables.tolist()])
    # The exact test is a little weaker than the normal approximation of the formula.
    assert 0.7 < power < 0.9


def test_needed_n_of_no_gap_is_none():
    assert stats.needed_n(0.0, 0.2) is None
    with pytest.raises(ValueError, match="discordant"):
        stats.needed_n(0.3, 0.2)


def test_a_gap_of_two_shares_is_newcombes():
    """Newcombe (1998), example (a): 56/70 - 48/80, method 10 without continuity correction."""
    a, b = (stats.Estimate(x / n, *stats.wilson(x, n), n) for x, n in ((56, 70), (48, 80)))
    assert stats.independent_difference(a, b) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


@given(*[st.tuples(st.floats(-9, 9), st.floats(0, 3), st.floats(0, 3))] * 2)
def test_a_gap_turns_its_sign_with_its_sides_and_is_wider_than_either_interval(one, other):
    a, b = (stats.Estimate(value, value - down, value + up, 9) for value, down, up in (one, other))
    gap, turned = stats.independent_difference(a, b), stats.independent_difference(b, a)
    assert (-turned.high, -turned.low) == pytest.approx((gap.low, gap.high))
    assert gap.low <= gap.value <= gap.high
    assert gap.high - gap.low >= max(_width(a), _width(b)) - 1e-9


def _width(interval) -> float:
    return interval.high - interval.low
