r"""The pages of AgentBoard's shop as AgentLite's client writes them (benchmark/webshop/webshop_env.py).

    button        "\n[T] "
    option        "[T]", or "[[T]]" if 'T' stands in the URL: only a selected value of one word can
    product id    "\n[ID] "
    other text    "\nT "

Pages lose the characters that Latin-1 lacks; the client remembers buttons unchanged. What looks like a goal in front of
a button is cut from any text, since that is how the client removes the goal from the start page.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote_plus

from eefcore.envs.webshop.interfaces import pages
from eefcore.envs.webshop.interfaces.pages import Site, StringKind, VisibleString
from eefcore.envs.webshop.interfaces.session import RESULTS, START, SUB, Options, ShopSession
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
    option_types: Options = ()


class AgentLitePages:
    """The pages of a shop, each written once; `arrow_labels` stand for `Next >` and `< Prev`, `frame` finishes a page."""

    def __init__(
        self,
        shop: Shop,
        *,
        site: Site,
        arrow_labels: Mapping[str, str],
        item_lines: bool,
        frame: Callable[[str], str],
    ) -> None:
        self._shop, self._site, self._frame = shop, site, frame
        self._arrow_labels = arrow_labels
        self._item_lines = item_lines
        self._page = lru_cache(maxsize=16384)(self._build_page)

    def at(self, session: ShopSession, instruction: str) -> AgentLitePage:
        """Return the page where a session is."""
        return self._page(session.page_key, instruction if session.page == START else "")

    def _build_page(self, key: ShopSession, instruction: str) -> AgentLitePage:
        if key.page == START:
            return AgentLitePage(self._frame(self._write(pages.start_page(self._site, instruction))))
        if key.page == RESULTS:
            return self._results_page(key.query, key.number)
        product = self._shop.catalogue[key.asin]
        if key.page == SUB:
            return AgentLitePage(self._frame(self._write(pages.sub_page(self._site, product, key.sub_page))))
        page = pages.item_page(product)
        if not self._item_lines:
            page = [v for v in page if v not in _ITEM_LINES]
        url = str({name: quote_plus(value) for name, value in key.options})
        return AgentLitePage(self._frame(self._write(page, url)), option_types=_option_types(page))

    def _results_page(self, query: str, number: int) -> AgentLitePage:
        keywords = server_keywords(query)
        if keywords is None:
            return AgentLitePage(self._frame(""))
        found = self._shop.search(keywords)
        listed = tuple(pages.ids_on_page(found, number, self._site.per_page))
        products = [self._shop.catalogue[asin] for asin in listed]
        page = pages.results_page(self._site, number, len(found), products)
        return AgentLitePage(self._frame(self._write(page)), listed)

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


def _option_types(page: list[VisibleString]) -> Options:
    """Return (value, option name), the last text before the value; a value in two groups belongs to the later one."""
    types: dict[str, str] = {}
    name = ""
    for kind, text in page:
        if not _is_printed(text):
            continue
        if kind is StringKind.TEXT:
            name = text
        elif kind is StringKind.OPTION:
            types[text] = name
    return tuple(types.items())
