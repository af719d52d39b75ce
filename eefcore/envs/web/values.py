"""What a field holds: typed text cleaned once for every driver, dates and times as people write them, and values as browsers keep them.

A browser drops a date that it does not understand without a word, so that what people write is turned into what a browser takes
(`2024-05-22`, `19:00`) before any driver sees it; what can't be turned is a BadValue, which is answered to the agent.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import NamedTuple

from eefcore.envs.web.page import Control
from eefcore.errors import suggest
from eefcore.unicode import well_formed

TYPABLE = (
    "text", "search", "email", "tel", "url", "password", "number", "date", "time", "datetime-local", "month", "week",
    "textarea",
)  # fmt: skip
"""The types of fields into which an agent can type."""

FIELD_TYPES = (*TYPABLE, "range", "color", "file")
"""All types of fields; any other type of an `<input>` means `text`, as in browsers."""


class BadValue(NamedTuple):
    """A value that a control does not take, and why, in a sentence for the agent."""

    reason: str


def typed(control: Control, text: str) -> str | BadValue:
    """Return what a field holds after an agent typed `text` into it, or why it does not take it.

    Lone surrogates become U+FFFD, control characters vanish and line ends become spaces but in a `<textarea>`. An American
    date has the month first: 5/6/2024 is in May.
    """
    text = cleaned(text, lines=control.type == "textarea")
    if control.type not in TYPABLE:
        return BadValue(f"nothing can be typed into a {control.type} field")
    if control.type in _READERS:
        form, read = _READERS[control.type]
        value = read(text.strip())
        return BadValue(f"{_quoted(text)} is no {form}") if value is None else value
    value = sanitized(control.type, text)
    if (limit := control.max_length) is not None and (n := _utf16(value)) > limit:
        return BadValue(f"it holds at most {limit} characters, and the text has {n}")
    return value


def chosen(control: Control, text: str) -> tuple[int, ...] | BadValue:
    """Return the choices of a select after an agent typed a choice's label, or why there is no such choice.

    Letter case and white space don't matter. In a select of several choices the label is chosen in addition.
    """
    labels = [choice.label for choice in control.choices if not choice.disabled]
    wanted = _key(cleaned(text))
    for i, choice in enumerate(control.choices):
        if _key(choice.label) == wanted and not choice.disabled:
            return tuple(sorted({*control.chosen, i})) if control.multiple else (i,)
    near = suggest(text, labels)
    return BadValue(f"{_quoted(text)} is none of its choices{near or ': ' + listed(labels)}")


def listed(labels: Sequence[str], limit: int = 160) -> str:
    """Return labels with commas between them; of a long list the first, and how many there are."""
    text = ", ".join(labels)
    if len(text) <= limit:
        return text
    shown = text[:limit].rpartition(", ")[0] or text[:limit]
    return f"{shown}, … ({len(labels)} choices)"


def cleaned(text: str, *, lines: bool = False) -> str:
    """Return text that every browser takes as it is: well formed, without control characters, on one line unless `lines`."""
    text = well_formed(text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    if not lines:
        text = text.replace("\n", " ")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) != "Cc")


def sanitized(type: str, value: str) -> str:
    """Return the value that a browser keeps of one that a document gives: HTML's value sanitization of each type of field."""
    match type:
        case "hidden":
            return value
        case "textarea":
            return value.replace("\r\n", "\n").replace("\r", "\n")
        case "file":
            return ""
        case "number":
            return value if _is_number(value) else ""
        case "date":
            return value if re.fullmatch(_DATE, value) and _iso_date(value) else ""
        case "time":
            return value if re.fullmatch(_TIME, value) else ""
        case "datetime-local":
            return _sanitized_moment(value)
        case "month":
            return value if re.fullmatch(r"(?!0000)\d{4}-(0[1-9]|1[0-2])", value, re.ASCII) else ""
        case "week":
            return value if _is_week(value) else ""
        case "email" | "url":
            return value.replace("\n", "").replace("\r", "").strip(" \t\n\f\r")
    return value.replace("\n", "").replace("\r", "")


def collapsed(text: str) -> str:
    """Return text with HTML's white space collapsed and stripped, as the value of an option without one."""
    return re.sub(r"[ \t\n\f\r]+", " ", text).strip(" ")


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,3})?)?", re.ASCII)
_NUMBER = re.compile(r"-?(\d+|\d*\.\d+)([eE][-+]?\d+)?", re.ASCII)
_MONTHS = "january february march april may june july august september october november december".split()
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()

_ISO = re.compile(r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})", re.ASCII)
_AMERICAN = re.compile(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})", re.ASCII)
_MONTH_FIRST = re.compile(
    r"(?P<month>[a-z]{3,9})\.? (?P<day>\d{1,2})(st|nd|rd|th)? (?P<year>\d{4})", re.ASCII
)
_DAY_FIRST = re.compile(
    r"(?P<day>\d{1,2})(st|nd|rd|th)? (of )?(?P<month>[a-z]{3,9})\.? (?P<year>\d{4})", re.ASCII
)
_CLOCK_24 = re.compile(r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(:(?P<second>\d{2}))?", re.ASCII)
_CLOCK_12 = re.compile(r"(?P<hour>\d{1,2})([:.](?P<minute>\d{2}))? ?(?P<half>[ap])\.?m\.?", re.ASCII)


def read_date(text: str) -> str | None:
    """Return a written day as `2024-05-22`, None if it is no day: `May 22, 2024`, `Wed 22 May 2024`, `5/22/2024`."""
    words = " ".join(text.lower().replace(",", " ").split())
    first, _, rest = words.partition(" ")
    if rest and len(first.rstrip(".")) >= 3 and any(day.startswith(first.rstrip(".")) for day in _DAYS):
        words = rest
    for pattern in (_ISO, _AMERICAN, _MONTH_FIRST, _DAY_FIRST):
        if found := pattern.fullmatch(words):
            month = _month(found["month"])
            try:
                return date(int(found["year"]), month or 0, int(found["day"])).isoformat()
            except ValueError:
                return None
    return None


def read_time(text: str) -> str | None:
    """Return a written time of day as `19:00`, None if it is none: `7:00 PM`, `7pm`, `19:00`."""
    words = " ".join(text.lower().split())
    if found := _CLOCK_12.fullmatch(words):
        hour, minute = int(found["hour"]), int(found["minute"] or 0)
        if not 1 <= hour <= 12 or minute > 59:
            return None
        return f"{hour % 12 + 12 * (found['half'] == 'p'):02}:{minute:02}"
    if found := _CLOCK_24.fullmatch(words):
        try:
            at = time(int(found["hour"]), int(found["minute"]), int(found["second"] or 0))
        except ValueError:
            return None
        return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"
    return None


def read_moment(text: str) -> str | None:
    """Return a written day and time as `2024-05-22T19:00`, None if it is none: the day first, ` at `, a comma or a T between."""
    words = re.sub(r"(?<=\d)[tT](?=\d)| at ", " ", " ".join(text.split())).split(" ")
    for i in range(1, len(words)):
        day, at = read_date(" ".join(words[:i])), read_time(" ".join(words[i:]))
        if day and at:
            return f"{day}T{at}"
    return None


def read_month(text: str) -> str | None:
    """Return a written month as `2024-05`, None if it is none: `May 2024`."""
    if sanitized("month", text):
        return text
    name, _, year = text.lower().partition(" ")
    month = _month(name.rstrip(",."))
    return f"{year}-{month:02}" if month and re.fullmatch(r"[1-9]\d{3}", year, re.ASCII) else None


def read_week(text: str) -> str | None:
    """Return a week as `2024-W21`, None if it is none."""
    return text.upper() if _is_week(text.upper()) else None


def read_number(text: str) -> str | None:
    """Return a number in digits, None if it is none or too large for a browser."""
    return text if _is_number(text) else None


_READERS = {
    "date": ("date; write one as 2024-05-22 or May 22, 2024", read_date),
    "time": ("time; write one as 19:00 or 7:00 PM", read_time),
    "datetime-local": ("date and time; write one as 2024-05-22 19:00", read_moment),
    "month": ("month; write one as 2024-05 or May 2024", read_month),
    "week": ("week; write one as 2024-W21", read_week),
    "number": ("number; write one in digits", read_number),
}  # type of field: what it takes, in words, and the function that reads it


def _month(text: str) -> int | None:
    """Return the number of a month that is written as a number, a name or the beginning of one."""
    if text.isdecimal():
        return int(text)
    found = [i for i, month in enumerate(_MONTHS, 1) if len(text) >= 3 and month.startswith(text)]
    return found[0] if found else (9 if text == "sept" else None)


def _iso_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_week(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-W\d{2}", text, re.ASCII):
        return False
    try:
        date.fromisocalendar(int(text[:4]), int(text[6:]), 1)
    except ValueError:
        return False
    return True


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and abs(float(text)) != float("inf")


def _sanitized_moment(value: str) -> str:
    """Return a local date and time as browsers write it: a T between, and no seconds that are 0."""
    day, at = value[:10], value[11:]
    if value[10:11] not in ("T", " ") or not sanitized("date", day) or not sanitized("time", at):
        return ""
    moment = datetime.fromisoformat(f"{day}T{at}")
    if moment.microsecond:
        return moment.isoformat(timespec="milliseconds")
    return moment.isoformat(timespec="seconds" if moment.second else "minutes")


def _key(text: str) -> str:
    return " ".join(text.casefold().split())


def _quoted(text: str, limit: int = 40) -> str:
    """Return text in quotes for a reply, cut to `limit` characters."""
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
