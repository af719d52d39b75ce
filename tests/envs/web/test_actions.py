from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eefcore.envs.web.actions import (
    Ask,
    Clear,
    Click,
    Command,
    Goto,
    Reason,
    Refusal,
    Scroll,
    Submit,
    Type,
    command,
    parse_action,
)
from eefcore.envs.web.observation import window
from eefcore.envs.web.parsing import parse


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("CLICK [12]", Click(12)),
        ("click 12", Click(12)),
        (" CLICK[ 12 ] ", Click(12)),
        ("TYPE [3] [Ann Lee]", Type(3, "Ann Lee")),
        ("TYPE [3] Ann Lee", Type(3, "Ann Lee")),
        ("TYPE 3 [a [b] c]", Type(3, "a [b] c")),
        ("TYPE [3] [5]", Type(3, "5")),
        ("TYPE [3][x]", Type(3, "x")),
        ("TYPE [3] []", Type(3, "")),
        ("SUBMIT [3]", Submit(3)),
        ("CLEAR [3]", Clear(3)),
        ("GOTO [/a?b=c]", Goto("/a?b=c")),
        ("GOTO /a", Goto("/a")),
        ("SCROLL [DOWN]", Scroll(1)),
        ("scroll up", Scroll(-1)),
        ("ASK USER HELP [Indoor or outdoor?]", Ask("Indoor or outdoor?")),
        ("ASK USER HELP Indoor?", Ask("Indoor?")),
    ],
)
def test_an_action_is_read(text, action):
    assert parse_action(text) == action


@pytest.mark.parametrize(
    "text",
    ["", "CLICK", "CLICK [x]", "CLICK [1] [2]", "CLICK [99999999]", "TYPE [x] [y]", "TYPE", "GOTO []", "SCROLL", "SCROLL [LEFT]",
     "ASK USER", "ASK USER HELP []", "BUY [3]", "CLICKS [3]", "CLICK [³]", "I think CLICK [3]"],
)  # fmt: skip
def test_what_is_no_action_is_answered_with_the_actions(text):
    refusal = parse_action(text)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.MALFORMED and "CLICK [ID]" in refusal.reply


HTML = (
    """<a href=/in>1</a><a href=https://out.example/>2</a><a href="javascript:x()">3</a><a href=/tab target=_blank>4</a>
    <a href="/\\\\out.example">5</a><form action=/go><input name=a maxlength=3><input name=b type=date><input name=c disabled>
    <input name=d value=x readonly><select name=e><option value="">None<option>One</select>
    <select name=f><option>Two<option>Three</select><input type=checkbox name=g><input type=radio name=h><button>14</button>
    <button formaction=//out.example>15</button></form><form action=https://out.example/><input name=i></form>
    <input name=j><p hidden><button>18</button></p><select multiple><option selected>Four</select>"""
    + "<p>x</p>" * 30
    + "<button>20</button>"
)


def answer(text: str) -> Command | Refusal:
    """What becomes of an action on the page."""
    action, page = parse_action(text), parse(HTML)
    assert isinstance(action, Click | Type | Submit | Clear | Goto)
    return command(action, page, "/here", window(page, "/here"))


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("CLICK [0]", Reason.UNKNOWN_ID, "no [0]"),
        ("CLICK [77]", Reason.UNKNOWN_ID, "ids are 1 to 20"),
        ("CLICK [18]", Reason.HIDDEN, "hidden"),
        ("CLICK [20]", Reason.OTHER_WINDOW, "SCROLL DOWN"),
        ("CLICK [2]", Reason.OFF_SITE, "off this site"),
        ("CLICK [3]", Reason.OFF_SITE, "off this site"),
        ("CLICK [5]", Reason.OFF_SITE, "off this site"),
        ("CLICK [15]", Reason.OFF_SITE, "off this site"),
        ("CLICK [4]", Reason.OFF_SITE, "another tab"),
        ("CLICK [6]", Reason.WRONG_KIND, "TYPE [6] [TEXT]"),
        ("CLICK [10]", Reason.WRONG_KIND, "TYPE [10] [CHOICE]"),
        ("TYPE [1] [x]", Reason.WRONG_KIND, "is a link"),
        ("TYPE [8] [x]", Reason.DISABLED, "disabled"),
        ("TYPE [9] [x]", Reason.BAD_VALUE, "read only"),
        ("TYPE [6] [long]", Reason.BAD_VALUE, "at most 3"),
        ("TYPE [6] [ ]", Reason.BAD_VALUE, "CLEAR [6]"),
        ("TYPE [7] [soon]", Reason.BAD_VALUE, "no date"),
        ("TYPE [10] [Ten]", Reason.BAD_VALUE, "none of its choices"),
        ("CLEAR [9]", Reason.BAD_VALUE, "read only"),
        ("CLEAR [11]", Reason.BAD_VALUE, "always has one"),
        ("CLEAR [13]", Reason.WRONG_KIND, "is a radio"),
        ("SUBMIT [16]", Reason.OFF_SITE, "off this site"),
        ("SUBMIT [17]", Reason.WRONG_KIND, "no form"),
        ("GOTO [here]", Reason.OFF_SITE, "a path"),
        ("GOTO [//out.example]", Reason.OFF_SITE, "a path"),
        ("GOTO [/\\out.example]", Reason.OFF_SITE, "a path"),
        ("GOTO [http://127.0.0.1:99/]", Reason.OFF_SITE, "a path"),
        ("GOTO [file:///etc/passwd]", Reason.OFF_SITE, "a path"),
        ("GOTO [javascript:alert(1)]", Reason.OFF_SITE, "a path"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(text, reason, words):
    refusal = answer(text)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert words in refusal.reply and "\n" not in refusal.reply


class Recorder:
    """A driver that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def __getattr__(self, name):
        return lambda *args: self.asked.append((name, *(getattr(a, "id", a) for a in args)))


@pytest.mark.parametrize(
    ("text", "asked", "loads"),
    [
        ("CLICK [1]", ("click", 1), True),
        ("CLICK [12]", ("click", 12), False),
        ("CLICK [14]", ("click", 14), True),
        ("TYPE [6] [a\tb]", ("fill", 6, "a b"), False),
        ("TYPE [7] [May 22, 2024]", ("fill", 7, "2024-05-22"), False),
        ("TYPE [10] [one]", ("choose", 10, (1,)), False),
        ("CLEAR [6]", ("fill", 6, ""), False),
        ("CLEAR [10]", ("choose", 10, (0,)), False),
        ("CLEAR [12]", None, False),
        ("CLEAR [19]", ("choose", 19, ()), False),
        ("SUBMIT [6]", ("submit", 6), True),
        ("SUBMIT [14]", ("click", 14), True),
        ("GOTO [/x/../y?q=a b]", ("open", "/y?q=a%20b"), True),
    ],
)
def test_what_can_be_done_is_asked_of_the_driver(text, asked, loads):
    done, driver = answer(text), Recorder()
    assert isinstance(done, Command)
    done.run(driver)
    assert driver.asked == ([] if asked is None else [asked])
    assert done.loads is loads


def test_links_of_scripts_are_let_through_where_pages_have_scripts():
    page = parse(HTML)
    assert isinstance(command(Click(3), page, "/here", window(page, "/here"), scripted=True), Command)


def test_a_link_within_the_page_loads_nothing():
    page = parse("<a href='#x'>a</a><a href='/here#x'>b</a><a href='/there#x'>c</a>")
    loads = [command(Click(i), page, "/here", window(page, "/here")).loads for i in (1, 2, 3)]
    assert loads == [False, False, True]


@given(st.text())
def test_any_text_is_read_or_refused(text):
    page = parse(HTML)
    seen = window(page, "/here")
    for candidate in (
        text, f"CLICK [{text}]", f"TYPE [6] [{text}]", f"TYPE [10] [{text}]", f"GOTO [/{text}]"
    ):  # fmt: skip
        action = parse_action(candidate)
        if isinstance(action, Click | Type | Submit | Clear | Goto):
            done = command(action, page, "/here", seen)
            assert isinstance(done, Command) or "\n" not in done.reply
