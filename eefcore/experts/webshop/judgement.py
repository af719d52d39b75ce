"""What a critic that is always right says of a shop's page: what may be done there, and how much each action helps.

    judged    the page as it is read, from top to bottom, and its actions in that order

An action's worth is `TOP` if it is right here; 2 to turn the page and 1 to go back, which help where nothing fits, and
1 to buy what still lacks an option; 0 if it is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from eefcore.experts.webshop.shopper import ORDINALS, Judge
from eefcore.experts.webshop.view import BACK, View, call

TOP = 3
"""The worth of what is right."""


class Judged(NamedTuple):
    """An action that may be taken, how much it helps, and what is said of it."""

    action: str
    worth: int
    said: str = ""


class Page(NamedTuple):
    """What is to be said of a page, and what may be done there, in the order in which it is read."""

    said: list[str]
    actions: list[Judged]


def judged(task: str, v: View, judge: Judge, wanted: Sequence[str]) -> Page:
    """What may be done on a page, and how much it helps: TOP is right, 0 is wrong."""
    if v.page.kind == "results":
        return Page([], [*_on_results(task, v, judge)])
    if v.page.kind == "item":
        wrong = judge(task, v.asin)
        missing = next((value for value in wanted if value not in v.page.values), None)
        said = [f"It is {wrong}."] if wrong else [*_needs(v, wanted)]
        return Page(said, [*_on_item(v, bool(wrong or missing), wanted)])
    return Page([], [])


def _on_results(task: str, v: View, judge: Judge) -> Iterator[Judged]:
    none = "None fits."
    for ordinal, listing in zip(ORDINALS, v.page.listings, strict=False):
        reason = "was seen" if listing.asin in v.opened else judge(task, listing.asin)
        if reason is None:
            none = ""
        why = "fits" if reason is None else reason if reason == "was seen" else f"is {reason}"
        yield Judged(call("click", listing.asin), 0 if reason else TOP, f"The {ordinal} {why}.")
    if v.page.next_button:
        yield Judged(call("click", v.page.next_button), 2, none)
        none = ""  # it was said
    yield Judged(call("click", BACK), 1, none)


def _needs(v: View, wanted: Sequence[str]) -> Iterator[str]:
    for value in wanted:
        there = value in v.page.values
        need = f"I need {value}, there is {'' if there else 'no '}{value}."
        yield f"I have {value}." if value in v.chosen else need
        if not there:
            return


def _on_item(v: View, wrong: bool, wanted: Sequence[str]) -> Iterator[Judged]:
    left = [value for value in wanted if value in v.page.values and value not in v.chosen]
    for value in v.page.values:
        yield Judged(call("click", value), TOP if value in left and not wrong else 0)
    yield Judged(call("click", "Buy Now"), 0 if wrong else 1 if left else TOP)
    yield Judged(call("click", BACK), TOP if wrong else 0)
