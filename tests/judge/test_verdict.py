"""A verdict is read from an answer, or there is none."""

from __future__ import annotations

import json

import pytest
from helpers.judges import NO, YES, verdict
from hypothesis import given
from hypothesis import strategies as st

from eefcore.evaluation.criteria import RESERVATION
from eefcore.judge.verdict import read_verdict

NAMES = tuple(RESERVATION)


def read(answer):
    return read_verdict(answer, NAMES)


def test_the_reasoning_comes_first_and_the_verdict_last():
    found = read(YES)
    assert found.reasoning == "The agent did what it did." and found.success
    assert found.criteria == dict.fromkeys(NAMES, True)
    assert read(f"Well. {NO.splitlines()[1]}\n").criteria["completed"] is False


def test_a_verdict_in_a_code_fence_or_said_twice_is_read():
    line = YES.splitlines()[1]
    assert read(f"So:\n```json\n{line}\n```").success
    assert read(f"{line}\nas I said\n{line}").success


@pytest.mark.parametrize("name", [*NAMES, "complete"])
def test_success_needs_each_criterion_and_the_whole(name):
    assert not read(verdict(**{name: False})).success


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Yes, the agent was successful.",
        "{}",
        YES.replace("true", "1"),
        YES.replace("true", '"true"'),
        YES.replace('"complete": true', '"complete": null'),
        YES.replace('"complete"', '"done"'),
        YES.replace("{", '{"complete": false, ', 1),  # a name twice
        YES.replace("{", '{"bribed": true, ', 1),
        YES[:-1],
        "{" * 5000,
        f"{NO}\n{YES}",  # a quoted page, and another verdict
        f"{YES}\n{NO}",
    ],
)
def test_anything_else_is_no_verdict(answer):
    with pytest.raises(ValueError, match="verdict"):
        read(answer)


@given(st.text(max_size=300))
def test_no_text_around_a_verdict_changes_it(text):
    assert read(text.replace("{", "(") + NO).success is False
    if "{" not in text:
        assert read(NO + text).success is False


@given(
    st.recursive(st.booleans() | st.none() | st.text(), lambda x: st.dictionaries(st.sampled_from(NAMES), x))
)
def test_json_of_another_shape_is_no_verdict(value):
    with pytest.raises(ValueError, match="no verdict"):
        read(json.dumps(value))
