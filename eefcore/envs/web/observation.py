"""A page as the text that an agent reads: numbered controls and lines, in windows of at most 24 lines.

    PAGE Osteria Vela, Santa Marina | /r/osteria-vela?date=2024-05-22
    TIME Monday, May 20, 2024, 10:00 AM
    NOTICE 7:00 PM is no longer available.
    [1] link My reservations
    # Osteria Vela
    [2] select Party size: 4 people (1 to 20)
    [3] date Date: 2024-05-22
    [4] button Find a table
    -- lines 1-5 of 30; SCROLL DOWN for more --

The head (PAGE, TIME, NOTICE) stands in every window, and one line more where there is something to say: REPLY to an action that
could not be done, USER for an answer of the user. What a page writes can't pass for a line of these: it gets a dash before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from eefcore.envs.web.address import without_fragment
from eefcore.envs.web.page import Control, Kind, Line, Page
from eefcore.envs.web.parsing import one_line

MAX_LINES = 24
"""Lines of a window, its head included."""

MAX_LENGTH = 200
"""Characters of a line; a longer one ends in `…`."""

REPLY, USER = "REPLY ", "USER "
"""What begins the line that answers an action: of the browser, and of the user."""

_SHORT_LIST = 60  # characters; longer lists of choices are counted
_OWN_LINES = re.compile(r"\[\d+\]|(PAGE|TIME|NOTICE|REPLY|USER)\b|-- ")
_TYPES = ("date", "time", "datetime-local", "month", "week", "number", "email", "password")


class Window(NamedTuple):
    """A window on a page: its text, the controls shown in it, its number, and how many windows the page has."""

    text: str
    shown: tuple[Control, ...]
    number: int
    count: int


def window(page: Page, address: str, number: int = 0, note: str = "") -> Window:
    """Return window `number` of a page, or its last one if it has fewer; `note` is a line that begins in REPLY or USER.

    Windows do not overlap. What fits depends on the head alone, so that a note moves no line to another window.
    """
    head = [f"PAGE {page.title} | {without_fragment(address)}"]
    if page.time:
        head.append(f"TIME {page.time}")
    if page.notices:
        head.append(f"NOTICE {' '.join(page.notices)}")
    size = MAX_LINES - len(head) - 2  # a note, and the line that tells of other windows
    lines = page.visible_lines()
    count = max(1, -(-len(lines) // size))
    number = max(0, min(number, count - 1))
    seen = lines[number * size : (number + 1) * size]
    body = [_written(page, line) for line in seen]
    shown = tuple(page.controls[line.control] for line in seen if line.control is not None)
    notes = [one_line(note)] if note else []
    foot = _foot(number, count, size, len(lines))
    return Window("\n".join(_cut(line) for line in (*head, *notes, *body, *foot)), shown, number, count)


def described(control: Control) -> str:
    """Return what a control is and holds: `select Party size: 4 people (1 to 20)`, without its id."""
    words = " ".join(word for word in (_noun(control), control.label) if word)
    held = _held(control)
    remarks = "; ".join(_remarks(control))
    return f"{words}{f': {held}' if held else ''}{f' ({remarks})' if remarks else ''}"


def _written(page: Page, line: Line) -> str:
    if line.control is not None:
        control = page.controls[line.control]
        return f"[{control.id}] {described(control)}"
    return f"- {line.text}" if _OWN_LINES.match(line.text) else line.text


def _foot(number: int, count: int, size: int, lines: int) -> Iterator[str]:
    if count > 1:
        ways = " or ".join(way for way, there in (("UP", number > 0), ("DOWN", number < count - 1)) if there)
        yield f"-- lines {number * size + 1}-{min((number + 1) * size, lines)} of {lines}; SCROLL {ways} for more --"


def _noun(control: Control) -> str:
    return control.type if control.kind is Kind.FIELD and control.type in _TYPES else control.kind


def _held(control: Control) -> str:
    match control.kind:
        case Kind.FIELD if control.type != "password":
            return one_line(control.value)
        case Kind.SELECT:
            return ", ".join(control.choices[i].label for i in control.chosen)
        case Kind.CHECKBOX:
            return "checked" if control.checked else "not checked"
        case Kind.RADIO:
            return "chosen" if control.checked else "not chosen"
        case Kind.DETAILS:
            return "open" if control.checked else "closed"
    return ""


def _remarks(control: Control) -> Iterator[str]:
    """Yield what there is to know of a control beside what it holds."""
    if control.kind is Kind.FIELD:
        if not control.value:
            yield "empty"
        elif control.type == "password":
            yield f"{len(control.value)} characters"
        if control.minimum or control.maximum:
            yield _bounds(control.minimum, control.maximum)
    if control.kind is Kind.SELECT:
        yield _choices(control)
    if control.required and not control.value and control.kind is Kind.FIELD:
        yield "required"
    if control.readonly:
        yield "read only"
    if control.disabled:
        yield "disabled"


def _bounds(minimum: str, maximum: str) -> str:
    if minimum and maximum:
        return f"{minimum} to {maximum}"
    return f"from {minimum}" if minimum else f"up to {maximum}"


def _choices(control: Control) -> str:
    """Return the choices that are not chosen, if they are few; the first and last of many numbers; else how many there are."""
    others = [c.label for i, c in enumerate(control.choices) if i not in control.chosen and not c.disabled]
    text = ", ".join(others)
    if len(text) <= _SHORT_LIST:
        return text or "no other choice"
    numbers = [int(found[0]) for c in control.choices if (found := re.match(r"\d{1,9}\b", c.label))]
    if len(numbers) == len(control.choices) and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return f"{len(control.choices)} choices"


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LENGTH else line[: MAX_LENGTH - 1] + "…"
