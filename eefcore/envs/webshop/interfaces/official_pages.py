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

_NO_CLICKS = ShopSession()


class ClickTarget(NamedTuple):
    """The target of a click: a button, a product and its id, or an option and its name."""

    kind: StringKind
    name: str = ""


class OfficialPage(NamedTuple):
    """The strings of a page without those of the goal, and what can be clicked there."""

    strings: tuple[VisibleString, ...]
    clickables: dict[str, ClickTarget]


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
        """Return the text of a session's page, except the last page."""
        if session.page == START:
            return self._opening(instruction, START)
        before, after = self._text(self._text_key(session))
        return before + self._opening(instruction, RESULTS) + after

    def clickables(self, session: ShopSession) -> dict[str, ClickTarget]:
        """Return the labels that `click[…]` accepts on a page, in lower case and page order."""
        return self._page(session.page_key).clickables

    def _receipt(self, asin: str, options: Options, reward: float) -> str:
        """Return the text shown after the purchase, which does not show the goal."""
        return self._write(pages.done_page(asin, dict(options), reward))

    def _text_key(self, session: ShopSession) -> ShopSession:
        """Return what the text of a page depends on: in `text_rich` also visits, and quotes in the URL."""
        key = session.page_key
        if self._rich and session.page == RESULTS:
            return key._replace(visited=session.visited)
        if self._rich and session.page == ITEM and '"' in session.query:
            return key._replace(query=session.query)
        return key

    def _build_page(self, key: ShopSession) -> OfficialPage:
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

    def _write_page(self, key: ShopSession) -> tuple[str, str]:
        """Return the text of a page before the lines of the goal, and after them."""
        strings = self._page(key.page_key).strings
        return _rich_text(strings, key) if self._rich else ("", f" [SEP] {_plain_text(strings)}")

    def _write_opening(self, instruction: str, page: str) -> str:
        """Return the text of the start page, or the lines that open any other."""
        start = page == START
        return self._write(
            pages.start_page(OFFICIAL, instruction) if start else pages.page_opening(instruction)
        )

    def _write(self, strings: Sequence[VisibleString]) -> str:
        return _rich_text(strings)[1] if self._rich else _plain_text(strings)


def _plain_text(page: Sequence[VisibleString]) -> str:
    """Write a page for `text`: strings without outer white space, ` [SEP] ` between; a space alone is an empty field."""
    return " [SEP] ".join(text.strip() for _, text in page if text != "\n")


def _rich_text(page: Sequence[VisibleString], session: ShopSession = _NO_CLICKS) -> tuple[str, str]:
    """Write a page for `text_rich`: a line about each clicked option, and a string a line, clicks marked.

    An option is taken for clicked if the URL holds it in double quotes, a product if it was visited.
    """
    before, lines, url = "", [], f"{session.query} {json.dumps(dict(session.options))}"
    for kind, text in page:
        if text == "\n":
            continue
        clicked = text in session.visited if kind is StringKind.PRODUCT else f'"{text}"' in url
        button = f"[clicked button] {text} [clicked button_]" if clicked else f"[button] {text} [button_]"
        if kind is StringKind.BUTTON:
            lines.append(f"[button] {text} [button_]")
        elif kind is StringKind.OPTION:
            lines.append(f"  {button}")
            before = f"You have clicked {text}.\n{before}" if clicked else before
        elif kind is StringKind.PRODUCT:
            lines.append(f"\n{button}")
        else:
            lines.append(text)
    return before, "".join(f"{line}\n" for line in lines)


def _page(strings: Sequence[VisibleString]) -> OfficialPage:
    """Return a page whose buttons and products can be clicked, buttons first."""
    clickables = {text.lower(): ClickTarget(kind) for kind, text in strings if kind is StringKind.BUTTON}
    clickables |= {
        text.lower(): ClickTarget(kind, text) for kind, text in strings if kind is StringKind.PRODUCT
    }
    return OfficialPage(tuple(strings), clickables)
