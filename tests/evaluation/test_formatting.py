"""The format of numbers and intervals."""

import math

import pytest

from eefcore.evaluation import formatting
from eefcore.evaluation.stats import Estimate


@pytest.mark.parametrize(
    ("write", "number", "text"),
    [
        (formatting.percent, 0.464, "46.4 %"),
        (formatting.action, 'click[{"button": "Next >"}]', "click Next >"),
        (formatting.action, 'search["product": "red hat"]', "search red hat"),
        (formatting.action, "finish[]", "finish"),
        (formatting.action, "open the\ndoor", "open the door"),
        (formatting.percent, float("nan"), "–"),
        (formatting.signed, -0.064, "−6.4"),
        (formatting.signed, 0.0, "+0.0"),
        (formatting.p_value, 0.0004, "p < 0.001"),
        (formatting.p_value, 0.0312, "p = 0.031"),
        (formatting.p_value, 0.314, "p = 0.31"),
        (formatting.compact, 0, "0"),
        (formatting.compact, 999.6, "1 k"),
        (formatting.compact, 999_999, "1 M"),
        (formatting.compact, 1_234_567, "1.23 M"),
        (formatting.duration, 59.6, "1 min 0 s"),
        (formatting.duration, 3725, "1 h 2 min"),
        (formatting.outcome, "turn_limit", "turn limit"),
    ],
)
def test_numbers_are_formatted(write, number, text):
    assert write(number) == text


@pytest.mark.parametrize(
    ("estimate", "rest", "text"),
    [
        (Estimate(0.464, 0.403, 0.526, 250), (), "40.3 – 52.6"),
        (Estimate(0.464, 0.403, 0.526, 250), (1, 2), "0.40 – 0.53"),
        (Estimate(math.nan, math.nan, math.nan, 0), (), "–"),
    ],
)
def test_intervals_are_formatted(estimate, rest, text):
    assert formatting.interval(estimate, *rest) == text
