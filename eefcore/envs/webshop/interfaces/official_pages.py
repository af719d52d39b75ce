"""The official pages as the text environment writes them (envs/web_agent_text_env.py:183-216).

text        strings joined by ` [SEP] `
text_rich   a string a line: buttons as `[button] T [button_]`, options indented, an empty line before
            each product; what was clicked as `[clicked button] T [clicked button_]`, and a line about
            each clicked option at the start
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from eefcore.envs.webshop.interfaces import pages
from eefcore.envs.webshop.interfaces.pages import OFFICIAL, StringKind, VisibleString
from eefcore.envs.webshop.interfaces.session import END, ITEM, RESULTS, START, SUB, Options, ShopSession
from eefcore.envs.webshop.shop import Shop


class ClickTarget(NamedTuple):
    """What a click lands on: a button, a product and its id, or an option and its name."""

    kind: StringKind
    name: str = ""


class PageKey(NamedTuple):
    """What the strings of a page depend on, beside the goal and the marks of what was clicked."""

    page: str
    query: str = ""
    number: int = 0
    asin: str = ""
    sub_page: str = ""


class OfficialPage(NamedTuple):
    """The strings of a page but for those of the goal, and what can be clicked there."""

    strings: tuple[VisibleString, ...]
    clickables: dict[str, ClickTarget]


class ClickMarks(NamedTuple):
    """What a page may mark as clicked: products that were visited, options that the URL holds in double quotes."""

    visited: frozenset[str] = frozenset()
    options: Options = ()
    query: str = ""

    @property
    def url(self) -> str:
        """The part of the URL that can hold quotes."""
        return f"{self.query} {json.dumps(dict(self.options))}"


_NONE = ClickMarks()


class PageText(NamedTuple):
    """A page as text in two parts: before the lines of the goal, and after them."""

    before: str
    after: str


class OfficialPages:
    """The pages of a shop, each built and written once."""

    def __init__(self, shop: Shop, *, rich: bool) -> None:
        self._shop = shop
        self._rich = rich
        self._page = lru_cache(maxsize=16384)(self._build_page)
        self._text = lru_cache(maxsize=16384)(self._write_page)
        self._opening = lru_cache(maxsize=4096)(self._write_opening)
        self.receipt = lru_cache(maxsize=16384)(self._receipt)

    def at(self, session: ShopSession, instruction: str) -> str:
        """Return the text of the page where a session is, any but the last."""
        if session.page == START:
            return self._opening(instruction, START)
        before, after = self._text(_page_key(session), self._marks(session))
        return before + self._opening(instruction, RESULTS) + after

    def clickables(self, session: ShopSession) -> dict[str, ClickTarget]:
        """Return what `click[…]` takes there, in lower case and page order."""
        return self._page(_page_key(session)).clickables

    def _receipt(self, asin: str, options: Options, reward: float) -> str:
        """Return the text shown after the purchase, which does not show the goal."""
        page = pages.done_page(asin, dict(options), reward)
        return _rich_text(page).after if self._rich else _plain_text(page)

    def _marks(self, session: ShopSession) -> ClickMarks:
        """Return what `text_rich` marks on that page."""
        if not self._rich:
            return _NONE
        if session.page == RESULTS:
            return ClickMarks(session.visited)
        if session.page == ITEM:
            return ClickMarks(options=session.options, query=session.query if '"' in session.query else "")
        return _NONE

    def _build_page(self, key: PageKey) -> OfficialPage:
        catalogue = self._shop.catalogue
        if key.page == START:
            return OfficialPage((), {"search": ClickTarget(StringKind.BUTTON)})
        if key.page == END:
            return OfficialPage((), {})
        if key.page == RESULTS:
            found = self._shop.search(tuple(key.query.split(" ")))
            listed = [catalogue[a] for a in pages.ids_on_page(found, key.number, OFFICIAL.per_page)]
            return _page(pages.results_page(OFFICIAL, key.number, len(found), listed))
        product = catalogue[key.asin]
        if key.page == SUB:
            return _page(pages.sub_page(OFFICIAL, product, key.sub_page))
        page = _page(pages.item_page(product))
        for name, values in product.options.items():
            page.clickables.update((value, ClickTarget(StringKind.OPTION, name)) for value in values)
        return page

    def _write_page(self, key: PageKey, marks: ClickMarks) -> PageText:
        strings = self._page(key).strings
        return _rich_text(strings, marks) if self._rich else PageText("", f" [SEP] {_plain_text(strings)}")

    def _write_opening(self, instruction: str, page: str) -> str:
        """Return the text of the start page, or the lines that open any other."""
        strings = (
            pages.start_page(OFFICIAL, instruction) if page == START else pages.page_opening(instruction)
        )
        return _rich_text(strings).after if self._rich else _plain_text(strings)


def _page_key(session: ShopSession) -> PageKey:
    """Return the key of the page where a session is."""
    page = session.page
    if page == RESULTS:
        return PageKey(page, session.query, session.number)
    if page == ITEM:
        return PageKey(page, "", 0, session.asin)
    return PageKey(page, "", 0, session.asin, session.sub_page) if page == SUB else PageKey(page)


def _plain_text(page: Sequence[VisibleString]) -> str:
    """Write a page for `text`: strings without outer white space, ` [SEP] ` between; a space alone is an empty field."""
    return " [SEP] ".join(text.strip() for _, text in page if text != "\n")


def _rich_text(page: Sequence[VisibleString], marks: ClickMarks = _NONE) -> PageText:
    """Write a page for `text_rich`: a string a line, clicks marked, a line about each clicked option at the start."""
    before, lines, url = "", [], marks.url
    for kind, text in page:
        if text == "\n":
            continue
        if kind is StringKind.BUTTON:
            lines.append(f"[button] {text} [button_]")
        elif kind is StringKind.OPTION and f'"{text}"' in url:
            lines.append(f"  [clicked button] {text} [clicked button_]")
            before = f"You have clicked {text}.\n{before}"
        elif kind is StringKind.OPTION:
            lines.append(f"  [button] {text} [button_]")
        elif kind is StringKind.PRODUCT and text in marks.visited:
            lines.append(f"\n[clicked button] {text} [clicked button_]")
        elif kind is StringKind.PRODUCT:
            lines.append(f"\n[button] {text} [button_]")
        else:
            lines.append(text)
    return PageText(before, "".join(f"{line}\n" for line in lines))


def _page(strings: Sequence[VisibleString]) -> OfficialPage:
    """Return a page whose buttons and products can be clicked."""
    clickables = {text.lower(): ClickTarget(kind) for kind, text in strings if kind is StringKind.BUTTON}
    clickables |= {
        text.lower(): ClickTarget(kind, text) for kind, text in strings if kind is StringKind.PRODUCT
    }
    return OfficialPage(tuple(strings), clickables)
