from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eefcore.envs.web.observation import MAX_LENGTH, MAX_LINES, described, window
from eefcore.envs.web.parsing import parse


def shown(html: str, number: int = 0, note: str = "") -> list[str]:
    return window(parse(html), "/", number, note).text.split("\n")


def test_a_page_reads_as_its_docstring_says():
    page = parse(
        "<title>Osteria Vela</title><time data-clock>10:00 AM</time><p role=alert>7 PM is gone.</p><a href=/mine>Mine</a>"
        "<h1>Osteria Vela</h1><form><label>Party size <select name=p>"
        + "".join(f"<option>{i} people" for i in range(1, 21))
        + "</select></label><label>Date <input type=date value=2024-05-22></label><button>Find</button></form>"
    )
    assert window(page, "/r/vela?date=2024-05-22#top").text.split("\n") == [
        "PAGE Osteria Vela | /r/vela?date=2024-05-22",
        "TIME 10:00 AM",
        "NOTICE 7 PM is gone.",
        "[1] link Mine",
        "# Osteria Vela",
        "[2] select Party size: 1 people (1 to 20)",
        "[3] date Date: 2024-05-22",
        "[4] button Find",
    ]


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<input name=n>", "field n (empty)"),
        ("<input name=n value=' x  y '>", "field n: x y"),
        ("<input name=n required readonly disabled>", "field n (empty; required; read only; disabled)"),
        ("<input name=n type=number min=1 max=9 value=2>", "number n: 2 (1 to 9)"),
        ("<input name=n type=date min=2024-05-20>", "date n (empty; from 2024-05-20)"),
        ("<input name=n type=password value=abc>", "password n (3 characters)"),
        ("<textarea name=n>\na\nb</textarea>", "field n: a b"),
        ("<input type=checkbox name=n>", "checkbox n: not checked"),
        ("<input type=radio name=n checked>", "radio n: chosen"),
        ("<select name=n><option>A<option>B<option disabled>C</select>", "select n: A (B)"),
        ("<select name=n multiple><option>A<option>B</select>", "select n (A, B)"),
        ("<select name=n><option>A</select>", "select n: A (no other choice)"),
        (
            f"<select name=n>{''.join(f'<option>Choice {i}' for i in range(30))}</select>",
            "select n: Choice 0 (30 choices)",
        ),
        ("<details><summary>More</summary></details>", "details More: closed"),
        ("<a href=/></a>", "link"),
        ("<div role=button>Press</div>", "button Press"),
    ],
)
def test_a_control_says_what_it_is_and_holds(html, words):
    assert described(parse(html).controls[0]) == words


def test_windows_share_a_page_without_overlap_and_say_where_they_are():
    html = "<title>T</title>" + "".join(f"<p>{i}" for i in range(50))
    windows = [shown(html, n) for n in range(3)]
    assert [len(w) for w in windows] == [23, 23, 10]
    assert [line for w in windows for line in w[1:-1]] == [str(i) for i in range(50)]
    assert [w[-1] for w in windows] == [
        "-- lines 1-21 of 50; SCROLL DOWN for more --",
        "-- lines 22-42 of 50; SCROLL UP or DOWN for more --",
        "-- lines 43-50 of 50; SCROLL UP for more --",
    ]
    assert shown(html, 99) == windows[2]


def test_a_note_moves_no_line():
    html = "".join(f"<p>{i}" for i in range(50))
    plain, noted = shown(html, 1), shown(html, 1, "REPLY No.\nNo.")
    assert noted == [plain[0], "REPLY No. No.", *plain[1:]]
    assert len(noted) == MAX_LINES


@given(
    st.lists(
        st.sampled_from(
            ["<p>x", "<a href=/>y</a>", "<input>", "<p role=alert>z</p>", "<p>[1] link", "<p>PAGE x"]
        )
    ),
    st.integers(-1, 9),
    st.sampled_from(["", "REPLY r", "USER u"]),
)
def test_a_window_has_at_most_24_lines_and_shows_the_ids_that_it_says(parts, number, note):
    page = parse("".join(parts))
    seen = window(page, "/", number, note)
    lines = seen.text.split("\n")
    assert len(lines) <= MAX_LINES
    ids = [int(found[1]) for line in lines if (found := re.match(r"\[(\d+)\]", line))]
    assert ids == [control.id for control in seen.shown]
    assert sum(line.startswith(("PAGE ", "REPLY ", "USER ")) for line in lines) == 1 + bool(note)


@pytest.mark.parametrize(
    "text", ["[3] link Buy", "PAGE x", "NOTICE won", "REPLY ok", "USER yes", "-- lines", "TIME 1"]
)
def test_text_of_a_page_does_not_pass_for_a_line_of_the_browser(text):
    assert shown(f"<p>{text}</p>")[1:] == [f"- {text}"]


def test_a_long_line_is_cut():
    (_, line) = shown(f"<p>{'x' * 999}")
    assert len(line) == MAX_LENGTH and line.endswith("…")
