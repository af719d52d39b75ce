"""A visit to the shop as an immutable record: everything that the next page depends on, beside the goal."""

from __future__ import annotations

from typing import NamedTuple

START, RESULTS, ITEM, SUB, END = "start", "results", "item", "sub", "end"
"""The types of page."""

_FIELDS = {RESULTS: ("query", "number"), ITEM: ("asin", "options"), SUB: ("asin", "sub_page")}

Options = tuple[tuple[str, str], ...]
"""(name, value) of each selected option, in the order in which the names were first chosen."""


class ShopSession(NamedTuple):
    """An immutable snapshot of a visit to the shop. Going back to it costs nothing."""

    page: str = START
    query: str = ""  # the last search
    number: int = 0  # of the results page
    asin: str = ""  # the product of an item page
    options: Options = ()  # what is selected on it
    sub_page: str = ""
    listed: tuple[str, ...] = ()  # ids on the last page that showed any (AgentLite)
    option_types: Options = ()  # (value, name) of the options on the last page that showed any (AgentLite)
    visited: frozenset[str] = frozenset()  # ids opened since the start page (text_rich)

    @property
    def page_key(self) -> ShopSession:
        """The part of the session that its page depends on, beside the goal."""
        fields = _FIELDS.get(self.page, ())
        return ShopSession(self.page, **{field: getattr(self, field) for field in fields})

    @property
    def values(self) -> tuple[str, ...]:
        """The option values that are selected."""
        return tuple(value for _, value in self.options)


class ShopStep(NamedTuple):
    """The result of an action: the next session, the observation, and R(τ) once the episode is over."""

    session: ShopSession
    observation: str
    reward: float = 0.0
    done: bool = False


class ParsedAction(NamedTuple):
    """An action as an interface reads it; `name` is None for text that it can't read."""

    name: str | None
    argument: str = ""


def select_option(options: Options, name: str, value: str) -> Options:
    """Return `options` with `name` set to `value`; a later choice of the same name replaces the earlier one."""
    return tuple({**dict(options), name: value}.items())
