"""Read an observation of the booking site back into what it shows: the address, notices, lines, and numbered controls."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

_HEAD = re.compile(r"^PAGE (.*) \| (\S+)$", re.MULTILINE)
_CONTROL = re.compile(r"\[(\d+)\] (\w+) (.*)")
_HELD = re.compile(r"(.*?)(?:: (.*?))?(?: \(([^()]*)\))?")


class Control(NamedTuple):
    """A numbered line: what it is, its label, and what it holds."""

    id: int
    kind: str
    label: str
    held: str = ""


class View(NamedTuple):
    """What one observation shows."""

    title: str
    path: str
    query: dict[str, str]
    lines: tuple[str | Control, ...]  # of the window, in reading order
    more: bool  # SCROLL DOWN shows more
    before: bool  # SCROLL UP does

    @property
    def controls(self) -> tuple[Control, ...]:
        """The controls of the window."""
        return tuple(line for line in self.lines if isinstance(line, Control))

    @property
    def text(self) -> tuple[str, ...]:
        """The lines of text of the window."""
        return tuple(line for line in self.lines if isinstance(line, str))

    def find(self, *labels: str) -> Control | None:
        """Return the first control with one of these labels."""
        return next((control for control in self.controls if control.label in labels), None)

    def after(self, *texts: str) -> tuple[Control, ...]:
        """Return the controls that follow lines which are equal to these, one after the other, up to the next heading."""
        for i in range(len(self.lines) - len(texts) + 1):
            if self.lines[i : i + len(texts)] == texts:
                rest = self.lines[i + len(texts) :]
                end = next((j for j, line in enumerate(rest) if str(line).startswith("#")), len(rest))
                return tuple(line for line in rest[:end] if isinstance(line, Control))
        return ()


@lru_cache(maxsize=1024)
def read_observation(text: str) -> View:
    """Return what an observation shows."""
    head = _HEAD.search(text)
    assert head is not None, text
    address = urlsplit(head[2])
    lines = text[head.end() :].strip("\n").split("\n")
    foot = lines[-1] if lines[-1].startswith("-- lines") else ""
    return View(
        head[1],
        address.path,
        {name: values[0] for name, values in parse_qs(address.query).items()},
        tuple(map(_read_line, lines)),
        "DOWN" in foot,
        "UP" in foot,
    )


def _read_line(line: str) -> str | Control:
    if (found := _CONTROL.fullmatch(line)) is None:
        return line
    id, kind, rest = int(found[1]), found[2], found[3]
    if kind in ("link", "button"):
        return Control(id, kind, rest)
    parts = _HELD.fullmatch(rest)
    assert parts is not None
    return Control(id, kind, parts[1], parts[2] or "")
