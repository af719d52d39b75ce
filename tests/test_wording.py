"""How numbers are written."""

import math

import pytest

from eefcore.reports import wording
from eefcore.stats import Estimate


@pytest.mark.parametrize(
    ("write", "number", "text"),
    [
        (wording.percent, 0.464, "46.4 %"),
        (wording.action, 'click[{"button": "Next >"}]', "click Next >"),
        (wording.action, 'search["product": "red hat"]', "search red hat"),
        (wording.action, "finish[]", "finish"),
        (wording.action, "open the\ndoor", "open the door"),
        (wording.percent, float("nan"), "–"),
        (wording.signed, -0.064, "−6.4"),
        (wording.signed, 0.0, "+0.0"),
        (wording.p_value, 0.0004, "p < 0.001"),
        (wording.p_value, 0.0312, "p = 0.031"),
        (wording.p_value, 0.314, "p = 0.31"),
        (wording.compact, 0, "0"),
        (wording.compact, 999.6, "1 k"),
        (wording.compact, 999_999, "1 M"),
        (wording.compact, 1_234_567, "1.23 M"),
        (wording.duration, 59.6, "1 min 0 s"),
        (wording.duration, 3725, "1 h 2 min"),
        (wording.outcome, "turn_limit", "turn limit"),
    ],
)
def test_how_numbers_are_written(write, number, text):
    assert write(number) == text


@pytest.mark.parametrize(
    ("estimate", "rest", "text"),
    [
        (Estimate(0.464, 0.403, 0.526, 250), (), "40.3 – 52.6"),
        (Estimate(0.464, 0.403, 0.526, 250), (1, 2), "0.40 – 0.53"),
        (Estimate(math.nan, math.nan, math.nan, 0), (), "–"),
    ],
)
def test_how_intervals_are_written(estimate, rest, text):
    assert wording.span(estimate, *rest) == text
