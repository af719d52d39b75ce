"""Agreement of a judge with the exact grader: by hand, against formulas of others, and at the ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eefcore.evaluation import stats
from eefcore.evaluation.agreement import agreement

answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40)


def row(values):
    return np.array([values], dtype=float)


def test_cohens_own_kind_of_table_by_hand():
    """Of 50: both yes 20, judge alone 5, grader alone 10, both no 15; p_o = 0.7, p_e = 0.5 × 0.6 + 0.5 × 0.4 = 0.5."""
    judged = row([1] * 20 + [1] * 5 + [0] * 10 + [0] * 15)
    exact = row([1] * 20 + [0] * 5 + [1] * 10 + [0] * 15)
    found = agreement(judged, exact)
    assert found.kappa.value == pytest.approx(0.4)
    assert (found.precision.value, found.recall.value) == (20 / 25, 20 / 30)
    assert (found.precision.n, found.recall.n, found.kappa.n) == (25, 30, 50)
    assert found.precision[1:3] == stats.wilson(20, 25) and found.recall[1:3] == stats.wilson(20, 30)
    # The analytic standard error of κ is about 0.127 here (Fleiss, Cohen and Everitt 1969).
    assert found.kappa.low == pytest.approx(0.4 - 1.96 * 0.127, abs=0.05)
    assert found.kappa.high == pytest.approx(0.4 + 1.96 * 0.127, abs=0.05)


@pytest.mark.parametrize("wins", [1, 7, 19])
@pytest.mark.parametrize("always", [0.0, 1.0])
def test_a_judge_that_always_says_the_same_scores_kappa_zero(always, wins):
    exact = row([1.0] * wins + [0.0] * (20 - wins))
    found = agreement(np.full_like(exact, always), exact)
    assert found.kappa[:3] == pytest.approx((0, 0, 0), abs=1e-6)
    assert found.recall.value == always
    assert math.isnan(found.precision.value) if always == 0 else found.precision.value == wins / 20


def test_where_there_is_nothing_to_tell_apart_kappa_is_unknown():
    for same in (0.0, 1.0):
        assert math.isnan(agreement(row([same] * 9), row([same] * 9)).kappa.value)


def test_a_perfect_judge_of_few_episodes_is_not_certain():
    few, many = ([float(i % 2) for i in range(n)] for n in (6, 600))
    low_few, low_many = (agreement(row(x), row(x)).kappa.low for x in (few, many))
    assert low_few < 0.3 and 0.97 < low_many < 1
    assert agreement(row(few), row(few)).kappa.value == 1.0


def test_no_verdict_is_counted_and_in_no_denominator():
    judged, exact = row([1, np.nan, 0, np.nan, 1]), row([1, 1, 0, np.nan, np.nan])
    found = agreement(judged, exact)
    assert found.no_verdict == 1  # the fourth was not graded either, the fifth has no grade
    assert (found.kappa.n, found.precision.n, found.recall.n) == (2, 1, 1) and found.kappa.value == 1.0
    nothing = agreement(np.full((1, 3), np.nan), np.full((1, 3), 1.0))
    assert nothing.no_verdict == 3 and nothing.kappa.n == 0 and math.isnan(nothing.precision.value)


@settings(max_examples=40, deadline=None)
@given(answers)
def test_kappa_is_that_of_its_definition_whoever_is_called_the_judge(pairs):
    judged, exact = (row([float(p[i]) for p in pairs]) for i in (0, 1))
    found, other = agreement(judged, exact).kappa, agreement(exact, judged).kappa
    n = len(pairs)
    p_o = sum(a == b for a, b in pairs) / n
    a, b = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
    p_e = a * b + (1 - a) * (1 - b)
    assume(p_e < 1)
    assert found.value == pytest.approx((p_o - p_e) / (1 - p_e)) and found.value == pytest.approx(other.value)


def test_seeds_are_resampled_as_well():
    rng = np.random.default_rng(0)
    exact = (rng.random((3, 100)) < 0.5).astype(float)
    judged = np.where(rng.random((3, 100)) < 0.85, exact, 1 - exact)
    found = agreement(judged, exact)
    assert (found.kappa.seeds, found.kappa.n) == (3, 100)
    assert 0.5 < found.kappa.low < found.kappa.value < found.kappa.high < 0.9


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="judge the same episodes"):
        agreement(row([1.0]), row([1.0, 0.0]))
