from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eefcore.envs.web.page import Choice, Control, Kind
from eefcore.envs.web.values import (
    FIELD_TYPES,
    BadValue,
    chosen,
    cleaned,
    listed,
    read_date,
    read_moment,
    read_month,
    read_time,
    read_week,
    sanitized,
    typed,
)


def field(type: str, **more) -> Control:
    return Control(position=0, id=1, kind=Kind.FIELD, type=type, **more)


def select(*labels: str, **more) -> Control:
    choices = tuple(Choice(label, label) for label in labels)
    return Control(position=0, id=1, kind=Kind.SELECT, type="select", choices=choices, **more)


@pytest.mark.parametrize(
    "written",
    [
        "2024-05-22", "2024-5-22", "2024/05/22", "May 22, 2024", "may 22 2024", "May 22nd, 2024", "22 May 2024",
        "Wednesday, May 22, 2024", "Wed 22nd of May 2024", "5/22/2024", "05/22/2024",
    ],
)  # fmt: skip
def test_days_are_read_as_people_write_them(written):
    assert read_date(written) == "2024-05-22"


@pytest.mark.parametrize(
    "written",
    ["", "tomorrow", "2024-02-31", "May 22", "22/05/2024", "Smay 22, 2024", "2024-13-01", "0000-01-01"],
)
def test_what_is_no_day_is_not_read(written):
    assert read_date(written) is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("19:00", "19:00"), ("7:00 PM", "19:00"), ("7pm", "19:00"), ("7 p.m.", "19:00"), ("7.30 pm", "19:30"),
        ("12:05 am", "00:05"), ("12 pm", "12:00"), ("9:15", "09:15"), ("09:15:30", "09:15:30"),
        ("24:00", None), ("13 pm", None), ("0 am", None), ("7:60 pm", None), ("seven", None), ("7", None), ("", None),
    ],
)  # fmt: skip
def test_times_are_read_as_people_write_them(written, expected):
    assert read_time(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024-05-22 19:00", "2024-05-22T19:00"), ("2024-05-22T19:00", "2024-05-22T19:00"),
        ("May 22, 2024 at 7 pm", "2024-05-22T19:00"), ("May 22, 2024, 7:30 PM", "2024-05-22T19:30"),
        ("2024-05-22", None), ("19:00", None), ("", None),
    ],
)  # fmt: skip
def test_a_day_and_a_time_are_read_together(written, expected):
    assert read_moment(written) == expected


def test_months_and_weeks_are_read():
    assert [read_month(m) for m in ("2024-05", "May 2024", "sept. 2024", "2024-13", "May")] == [
        "2024-05", "2024-05", "2024-09", None, None,
    ]  # fmt: skip
    assert [read_week(w) for w in ("2024-W21", "2024-w21", "2024-W53", "2020-W53", "21")] == [
        "2024-W21", "2024-W21", None, "2020-W53", None,
    ]  # fmt: skip


@given(st.sampled_from(FIELD_TYPES), st.text() | st.text(st.characters(codec=None), max_size=9))
def test_what_is_typed_is_refused_or_kept_as_it_is_by_a_browser(type, text):
    value = typed(field(type), text)
    if isinstance(value, BadValue):
        assert value.reason and "\n" not in value.reason
        return
    value.encode()  # no lone surrogate
    assert sanitized(type, value) == value
    assert "\r" not in value and "\0" not in value
    assert type == "textarea" or "\n" not in value


def test_typed_text_is_cleaned():
    assert cleaned("a\ud800\tb\r\nc\x00\x1b[31m") == "a\ufffd b c[31m"
    assert cleaned("a\r\nb\rc", lines=True) == "a\nb\nc"


@pytest.mark.parametrize(
    ("type", "text"),
    [
        ("date", "May 32, 2024"),
        ("time", "noonish"),
        ("number", "four"),
        ("number", "1e999"),
        ("color", "red"),
        ("file", "x"),
    ],
)
def test_a_value_that_a_field_does_not_take_is_refused_with_a_reason(type, text):
    assert isinstance(typed(field(type), text), BadValue)


def test_a_text_longer_than_its_field_is_refused_and_not_cut():
    limited = field("text", max_length=3)
    assert typed(limited, "abc") == "abc"
    assert isinstance(typed(limited, "abcd"), BadValue)
    assert isinstance(typed(limited, "a\U0001f600b"), BadValue)  # an emoji is two units


def test_a_choice_is_found_by_its_label_in_any_case():
    assert chosen(select("Indoor", "Out  door"), " out door ") == (1,)
    assert chosen(select("A", "B", multiple=True, chosen=(1,)), "a") == (0, 1)


def test_a_wrong_choice_is_answered_with_the_nearest_or_with_all():
    assert "'Indoor'" in chosen(select("Indoor", "Outdoor"), "indoors").reason
    assert "Indoor, Outdoor" in chosen(select("Indoor", "Outdoor"), "xyz").reason
    many = chosen(select(*(f"Choice number {i}" for i in range(50))), "xyz").reason
    assert "50 choices" in many and len(many) < 250


def test_a_disabled_choice_is_none():
    shut = Control(
        position=0, id=1, kind=Kind.SELECT, type="select", choices=(Choice("A", "a", disabled=True),)
    )
    assert isinstance(chosen(shut, "A"), BadValue)


def test_a_long_list_is_cut_between_two_labels():
    text = listed([f"label {i}" for i in range(99)])
    assert text.endswith(", … (99 choices)") and len(text) < 200
