r"""The pages of AgentBoard's shop as AgentLite's client writes them (benchmark/webshop/webshop_env.py).

    button        "\n[T] "
    option        "[T]", or "[[T]]" if 'T' stands in the URL: only a selected value of one word can
    product id    "\n[ID] "
    other text    "\nT "

Pages do not show the goal, and lose the characters that Latin-1 lacks; the client remembers buttons unchanged. What
looks like a goal in front of a button is cut from any text, since that is how the client removes the goal from
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
from eefcore.envs.webshop.interfaces.pages import AGENTBOARD, StringKind, VisibleString
from eefcore.envs.webshop.interfaces.session import ITEM, RESULTS, START, Options, ShopSession
from eefcore.envs.webshop.shop import Shop

_INSTRUCTION = re.compile(r"Instruction:\s*(.*)\s*\[")
_ITEM_LINES = {
    VisibleString(StringKind.TEXT, f"Rating: {pages.RATING}"),
    *(VisibleString(StringKind.BUTTON, name) for name in pages.SUB_PAGES),
}


class AgentLitePage(NamedTuple):
    """A page as the client reads it: its text, and the product ids and options that it remembers."""

    text: str
    listed: tuple[str, ...] = ()
    option_types: Mapping[str, str] | None = None


class AgentLitePages:
    """The pages of a shop, each written once.

    Args:
        shop: what is sold.
        arrow_labels: the labels that stand for `Next >` and `< Prev`.
        item_lines: whether item pages show Rating, Description, Features and Reviews.
    """

    def __init__(self, shop: Shop, *, arrow_labels: Mapping[str, str], item_lines: bool) -> None:
        self._shop = shop
        self._arrow_labels = arrow_labels
        self._item_lines = item_lines
        self._start = lru_cache(maxsize=4096)(self._start_page)
        self._results = lru_cache(maxsize=16384)(self._results_page)
        self._item = lru_cache(maxsize=16384)(self._item_page)
        self._sub = lru_cache(maxsize=16384)(self._sub_page)

    def at(self, session: ShopSession, instruction: str) -> AgentLitePage:
        """Return the page where a session is."""
        if session.page == START:
            return self._start(instruction)
        if session.page == RESULTS:
            return self._results(session.query, session.number)
        if session.page == ITEM:
            return self._item(session.asin, session.options)
        return self._sub(session.asin, session.sub_page)

    def _start_page(self, instruction: str) -> AgentLitePage:
        return AgentLitePage(web_page(self._write(pages.start_page(AGENTBOARD, instruction))))

    def _results_page(self, query: str, number: int) -> AgentLitePage:
        keywords = server_keywords(query)
        if keywords is None:
            return AgentLitePage(web_page(""))
        found = self._shop.search(keywords)
        listed = tuple(pages.ids_on_page(found, number, AGENTBOARD.per_page))
        products = [self._shop.catalogue[asin] for asin in listed]
        page = pages.results_page(AGENTBOARD, number, len(found), products)
        return AgentLitePage(web_page(self._write(page)), listed)

    def _item_page(self, asin: str, options: Options) -> AgentLitePage:
        page = pages.item_page(self._shop.catalogue[asin])
        if not self._item_lines:
            page = [v for v in page if v not in _ITEM_LINES]
        url = str({name: quote_plus(value) for name, value in options})
        return AgentLitePage(web_page(self._write(page, url)), option_types=_option_types(page))

    def _sub_page(self, asin: str, name: str) -> AgentLitePage:
        page = pages.sub_page(AGENTBOARD, self._shop.catalogue[asin], name)
        return AgentLitePage(web_page(self._write(page)))

    def _write(self, page: list[VisibleString], url: str = "") -> str:
        return to_latin_1("".join(self._write_string(v, url) for v in page if _is_printed(v.text)))

    def _write_string(self, string: VisibleString, url: str) -> str:
        kind, text = string
        if kind is StringKind.TEXT:
            return f"\n{text} "
        if kind is StringKind.OPTION:
            return f"[[{text}]]" if f"'{text}'" in url else f"[{text}]"
        return f"\n[{self._arrow_labels.get(text, text)}] "


def goal_shown(instruction: str) -> str:
    """Return the goal as the client reads it from the start page: in Latin-1, without outer white space."""
    return to_latin_1(instruction).strip()


def server_keywords(query: str) -> tuple[str, ...] | None:
    """Return the keywords that the server reads from the URL of a search; None where it answers with an error page.

    A `/`, an empty query and dots alone are lost in the path; a query that opens with `[` is read as a Python list.
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


def to_latin_1(text: str) -> str:
    """Return `text` without the characters that Latin-1 lacks."""
    return text.encode("latin-1", errors="ignore").decode("latin-1")


def web_page(text: str) -> str:
    """Return `WEB PAGE: {text}`, without what looks like a goal in front of a button."""
    cut = _INSTRUCTION.sub("", text).strip() if _INSTRUCTION.search(text) else text
    return f"WEB PAGE: {{{cut}}}"


def _is_printed(text: str) -> bool:
    r"""Whether the client prints a string: a written-out `\n` counts as white space there."""
    return bool(text.replace("\n", "").replace("\\n", "").replace(" ", ""))


def _option_types(page: list[VisibleString]) -> Mapping[str, str] | None:
    """Return value -> option name, the last text before the value; a value in two groups belongs to the later one."""
    types: dict[str, str] = {}
    name = ""
    for kind, text in page:
        if not _is_printed(text):
            continue
        if kind is StringKind.TEXT:
            name = text
        elif kind is StringKind.OPTION:
            types[text] = name
    return types or None
