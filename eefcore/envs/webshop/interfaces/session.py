"""Where a shopper is: all that the next page depends on, beside the goal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

START, RESULTS, ITEM, SUB, END = "start", "results", "item", "sub", "end"
"""The kinds of page."""


Options = tuple[tuple[str, str], ...]
"""(name, value) of what is selected, in the order in which the names were first chosen."""


class Session(NamedTuple):
    """An immutable snapshot of a visit to the shop. Going back to it costs nothing."""

    page: str = START
    query: str = ""
    number: int = 0
    """Of the results page."""
    asin: str = ""
    options: Options = ()
    sub_page: str = ""
    listed: tuple[str, ...] = ()
    """Ids on the last page that showed any (AgentLite)."""
    option_types: Mapping[str, str] | None = None
    """Value -> name of the last page that showed options (AgentLite)."""
    visited: frozenset[str] = frozenset()
    """Ids opened since the start page (text_rich)."""


class Answer(NamedTuple):
    """What an interface makes of an action: where it leads, what it shows, and R(τ) once it is over."""

    session: Session
    observation: str
    reward: float = 0.0
    done: bool = False


def selected(options: Options, name: str, value: str) -> Options:
    """`options` with `name` set to `value`; a later choice of the same name replaces the earlier one."""
    return tuple({**dict(options), name: value}.items())
