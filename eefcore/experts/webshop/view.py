"""Read an AgentLite dialogue back into the shop page that it stands on."""

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
"""What every page and action repeats; each is one token of the tiny base (`policies.tiny`)."""

_LISTING = re.compile(r"\[([A-Z0-9]{10})\] \n(.*?) \n(\$[^\n]*?) (?=\n|\}$)", re.S)
_OPTION = re.compile(r"^(\S[^\[\]\n]*) ((?:\[.*\])+)$")
_CALL = re.compile(r'^(\w+)\[\{"\w+": "(.*)"\}\]$', re.S)


class Listing(NamedTuple):
    """A product as a results page shows it."""

    asin: str
    title: str
    price_tag: str


class Page(NamedTuple):
    """What one observation shows. `kind`: start, results, item, chosen (an option was chosen), or refused."""

    kind: str
    listings: tuple[Listing, ...] = ()
    options: tuple[str, ...] = ()
    next_button: str = ""


class View(NamedTuple):
    """The page that a shopper sees, and what it has done so far.

    Attributes:
        page: the last start, results or item page.
        after_thought: whether the last action was a thought.
        asin: the product of an item page.
        chosen: option values clicked on it.
        opened: products opened since s_0, this one included.
        next_clicks: how often Next was clicked since the last search.
        turn: actions since s_0, thoughts and choices of options left out; equal for a thought and all the actions
            that follow from it.
        nexts, backs: how often Next and Back to Search were clicked since s_0.
        refused: whether the last action was refused.
    """

    page: Page
    after_thought: bool = False
    asin: str = ""
    chosen: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    next_clicks: int = 0
    turn: int = 0
    nexts: int = 0
    backs: int = 0
    refused: bool = False


def write_call(name: str, argument: str) -> str:
    """Return an AgentLite action: `click[{"button": "Buy Now"}]`."""
    parameter = {"search": "product", "click": "button", "Think": "response", "Finish": "response"}[name]
    return f'{name}[{{"{parameter}": "{argument}"}}]'


def read_call(action: str) -> tuple[str, str]:
    """Return the name and the argument of an AgentLite action; ("", "") for other text."""
    match = _CALL.match(action)
    return (match[1], match[2]) if match else ("", "")


def read_view(history: History) -> View:
    """Return what the shopper of h_t sees, and what it has done."""
    v = View(Page("start"))
    for i, step in enumerate(history.steps, 1):
        answer = history.steps[i].observation if i < len(history) else history.observation
        name, argument = read_call(step.action)
        if name == "Think":
            v = v._replace(after_thought=True, refused=False)
            continue
        page = _read_page(answer)
        v = v._replace(
            after_thought=False, refused=page.kind == "refused", turn=v.turn + (page.kind != "chosen")
        )
        if page.kind == "refused":
            continue
        v = v._replace(nexts=v.nexts + (argument in NEXT), backs=v.backs + (argument == BACK))
        if page.kind == "chosen":
            v = v._replace(chosen=(*v.chosen, argument))
        elif page.kind == "item" and v.page.kind == "item":  # back from a page about it
            v = v._replace(page=page, chosen=())
        elif page.kind == "item":
            v = v._replace(page=page, asin=argument, chosen=(), opened=(*v.opened, argument))
        else:
            turned = page.kind == "results" and name != "search"
            next_clicks = v.next_clicks + argument.startswith("Next") if turned else 0
            v = v._replace(page=page, asin="", chosen=(), next_clicks=next_clicks)
    return v


@lru_cache(maxsize=4096)
def _read_page(observation: str) -> Page:
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
        options = (option for g in groups if g for option in g[2][1:-1].split("]["))
        return Page("item", options=tuple(options))
    return Page("refused")
