r"""The pages of AgentBoard's shop as AgentLite's client writes them (benchmark/webshop/webshop_env.py).

    button        "\n[T] "
    option        "[T]", or "[[T]]" if 'T' stands in the URL: only a selected value of one word can
    product id    "\n[ID] "
    other text    "\nT "

Pages do not show the goal, and lose what Latin-1 can't write; the client remembers buttons as they were. What
looks like a goal in front of a button is cut from any text, since that is how the client takes the goal off
the start page.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote_plus

from eefcore.envs.webshop.interfaces import pages
from eefcore.envs.webshop.interfaces.pages import AGENTBOARD, Kind, Visible
from eefcore.envs.webshop.interfaces.session import ITEM, RESULTS, START, Options, Session
from eefcore.envs.webshop.shop import Shop

_INSTRUCTION = re.compile(r"Instruction:\s*(.*)\s*\[")
_ITEM_LINES = {
    Visible(Kind.TEXT, f"Rating: {pages.RATING}"),
    *(Visible(Kind.BUTTON, name) for name in pages.SUB_PAGES),
}


class Page(NamedTuple):
    """A page as the client reads it: its text, and the buttons it remembers from it."""

    text: str
    listed: tuple[str, ...] = ()
    option_types: Mapping[str, str] | None = None


class AgentLitePages:
    """The pages of a shop, each written once.

    Args:
        shop: what is sold.
        turning: what the buttons `Next >` and `< Prev` read.
        item_lines: whether item pages show Rating, Description, Features and Reviews.
    """

    def __init__(self, shop: Shop, *, turning: Mapping[str, str], item_lines: bool) -> None:
        self._shop = shop
        self._turning = turning
        self._item_lines = item_lines
        self._start = lru_cache(maxsize=4096)(self._start_page)
        self._results = lru_cache(maxsize=16384)(self._results_page)
        self._item = lru_cache(maxsize=16384)(self._item_page)
        self._sub = lru_cache(maxsize=16384)(self._sub_page)

    def at(self, session: Session, instruction: str) -> Page:
        """The page where a session is."""
        if session.page == START:
            return self._start(instruction)
        if session.page == RESULTS:
            return self._results(session.query, session.number)
        if session.page == ITEM:
            return self._item(session.asin, session.options)
        return self._sub(session.asin, session.sub_page)

    def _start_page(self, instruction: str) -> Page:
        return Page(wrapped(self._written(pages.start_page(AGENTBOARD, instruction))))

    def _results_page(self, query: str, number: int) -> Page:
        keywords = received(query)
        if keywords is None:
            return Page(wrapped(""))
        listed = tuple(pages.window(self._shop.found(keywords), number, AGENTBOARD.per_page))
        products = [self._shop.catalogue[asin] for asin in listed]
        return Page(wrapped(self._written(pages.results_page(number, AGENTBOARD.total, products))), listed)

    def _item_page(self, asin: str, options: Options) -> Page:
        seen = pages.item_page(self._shop.catalogue[asin])
        if not self._item_lines:
            seen = [v for v in seen if v not in _ITEM_LINES]
        url = str({name: quote_plus(value) for name, value in options})
        return Page(wrapped(self._written(seen, url)), option_types=_option_types(seen))

    def _sub_page(self, asin: str, name: str) -> Page:
        return Page(wrapped(self._written(pages.sub_page(AGENTBOARD, self._shop.catalogue[asin], name))))

    def _written(self, page: list[Visible], url: str = "") -> str:
        return latin_1("".join(self._string(v, url) for v in page if _visible(v.text)))

    def _string(self, visible: Visible, url: str) -> str:
        kind, text = visible
        if kind is Kind.TEXT:
            return f"\n{text} "
        if kind is Kind.OPTION:
            return f"[[{text}]]" if f"'{text}'" in url else f"[{text}]"
        return f"\n[{self._turning.get(text, text)}] "


def shown_goal(instruction: str) -> str:
    """The goal as the client reads it off the start page: in Latin-1, without outer white space."""
    return latin_1(instruction).strip()


def received(query: str) -> tuple[str, ...] | None:
    """The keywords the server reads off the URL of a search; None where it answers with an error page.

    A `/`, nothing at all, and dots alone are lost in the path; what opens with `[` is read as a Python list.
    """
    if "/" in query or query in ("", ".", ".."):
        return None
    if not query.startswith("["):
        return None if query == "<c>" else (query,)
    try:
        keywords = ast.literal_eval(query.replace(" ", "+"))
        " ".join(keywords)
        return None if not keywords or keywords == ["<c>"] else tuple(keywords)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def latin_1(text: str) -> str:
    """`text` without what Latin-1 lacks."""
    return text.encode("latin-1", errors="ignore").decode("latin-1")


def wrapped(text: str) -> str:
    """`WEB PAGE: {text}`, what looks like a goal in front of a button cut out."""
    cut = _INSTRUCTION.sub("", text).strip() if _INSTRUCTION.search(text) else text
    return f"WEB PAGE: {{{cut}}}"


def _visible(text: str) -> bool:
    r"""Whether the client prints it: a written-out `\n` counts as white space there."""
    return bool(text.replace("\n", "").replace("\\n", "").replace(" ", ""))


def _option_types(page: list[Visible]) -> Mapping[str, str] | None:
    """Value -> option name, the last text before it; a value in two groups belongs to the later one."""
    types: dict[str, str] = {}
    name = ""
    for kind, text in page:
        if not _visible(text):
            continue
        if kind is Kind.TEXT:
            name = text
        elif kind is Kind.OPTION:
            types[text] = name
    return types or None
