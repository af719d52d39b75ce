"""What a shopper sees: an AgentLite dialogue read back into the page it is on.

View      the page, what is listed or offered on it, what was opened and chosen before
view      History -> View
PHRASES   what all pages and actions have in common
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from eefcore.types import History

NEXT, BACK = ("Next >", "Next"), "Back to Search"

PHRASES = (
    "WEB PAGE: {\n[Back to Search] \nPage ",
    " (Total results: 15) \n[Next >] \n[",
    " (Total results: 15) \n[< Prev] \n[Next >] \n[",
    "WEB PAGE: {\n[Back to Search] \n[< Prev] \n",
    "WEB PAGE: {Let us begin shopping \n[Search]}\n> ",
    "WEB PAGE: {You have clicked ",
    " \nRating: N.A. \n[Description] \n[Features] \n[Reviews] \n[Buy Now] }\n> ",
    " \n[Buy Now] }\n> ",
    " \nPrice: $",
    " }\n> ",
    ".}\n> ",
    "OK\n> ",
    "\n> ",
    "] \n",
    " \n$",
    " \n[",
    "][",
    "]\n",
    'Think[{"response": "',
    'search[{"product": "',
    'click[{"button": "',
    '"}]\n',
    ", and price lower than ",
    ".00 dollars",
    "Buy Now",
    "Back to Search",
    "Next >",
    "< Prev",
)
"""What every page and action repeats; a token each in the tiny base (`policies.tiny`)."""

_LISTING = re.compile(r"\[([A-Z0-9]{10})\] \n(.*?) \n(\$[^\n]*?) (?=\n|\}$)", re.S)
_OPTION = re.compile(r"^(\S[^\[\]\n]*) ((?:\[.*\])+)$")
_DETOURS = ("Next", BACK)
_CALL = re.compile(r'^(\w+)\[\{"\w+": "(.*)"\}\]$', re.S)


class Listing(NamedTuple):
    """A product as a results page shows it."""

    asin: str
    title: str
    price_tag: str


class Page(NamedTuple):
    """What one observation shows. `kind`: start, results, item, chosen (an option was), or refused."""

    kind: str
    listings: tuple[Listing, ...] = ()
    values: tuple[str, ...] = ()
    next_button: str = ""


class View(NamedTuple):
    """Where a shopper stands.

    Attributes:
        page: the last start, results or item page.
        thought: whether the last action was a thought.
        asin: the product of an item page.
        chosen: option values clicked on it.
        opened: products opened since s_0, this one included.
        turned: how often Next was clicked since the last search.
        turn: actions since s_0, thoughts and choices of options left out; equal for a thought and all the
            actions it leads to.
        detours: how often Next or Back to Search was clicked since s_0.
        refused: whether the last action was refused.
    """

    page: Page
    thought: bool = False
    asin: str = ""
    chosen: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    turned: int = 0
    turn: int = 0
    detours: int = 0
    refused: bool = False


def call(name: str, argument: str) -> str:
    """An AgentLite action: `click[{"button": "Buy Now"}]`."""
    parameter = {"search": "product", "click": "button", "Think": "response", "Finish": "response"}[name]
    return f'{name}[{{"{parameter}": "{argument}"}}]'


def called(action: str) -> tuple[str, str]:
    """Name and argument of an action; ("", "") for what is none."""
    match = _CALL.match(action)
    return (match[1], match[2]) if match else ("", "")


def view(history: History) -> View:
    """What the shopper of h_t sees, and has done."""
    v = View(Page("start"))
    for i, step in enumerate(history.steps, 1):
        seen = history.steps[i].observation if i < len(history) else history.observation
        name, argument = called(step.action)
        if name == "Think":
            v = v._replace(thought=True, refused=False)
            continue
        page = _page(seen)
        v = v._replace(
            thought=False,
            refused=False,
            turn=v.turn + (page.kind != "chosen"),
            detours=v.detours + (page.kind != "refused" and argument.startswith(_DETOURS)),
        )
        if page.kind == "refused":
            v = v._replace(refused=True)
        elif page.kind == "chosen":
            v = v._replace(chosen=(*v.chosen, argument))
        elif page.kind == "item" and v.page.kind == "item":  # from a page about it
            v = v._replace(page=page, chosen=())
        elif page.kind == "item":
            v = v._replace(page=page, asin=argument, chosen=(), opened=(*v.opened, argument))
        elif page.kind == "results":
            turned = 0 if name == "search" else v.turned + (argument.startswith("Next"))
            v = v._replace(page=page, asin="", chosen=(), turned=turned)
        else:
            v = v._replace(page=page, asin="", chosen=(), turned=0)
    return v


@lru_cache(maxsize=4096)
def _page(observation: str) -> Page:
    body = observation.removeprefix("WEB PAGE: {")
    if body.startswith("You have clicked "):
        return Page("chosen")
    if "\n[Search]" in body:
        return Page("start")
    if "\nPage " in body:
        button = re.search(r"\[(Next(?: >)?)\]", body)
        listings = tuple(Listing(*m) for m in _LISTING.findall(body))
        return Page("results", listings, next_button=button[1] if button else "")
    if "\n[Buy Now]" in body:  # a reply may name the button
        groups = (_OPTION.match(line) for line in body.split("\n"))
        values = (v for g in groups if g for v in g[2][1:-1].split("]["))
        return Page("item", values=tuple(values))
    return Page("refused")
