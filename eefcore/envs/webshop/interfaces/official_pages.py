"""The official pages as the text environment writes them (envs/web_agent_text_env.py:183-216).

text        strings joined by ` [SEP] `
text_rich   a string a line: buttons as `[button] T [button_]`, options indented, an empty line before
            each product; what was clicked as `[clicked button] T [clicked button_]`, with a line about
            each option in front of all
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from eefcore.envs.webshop.interfaces import pages
from eefcore.envs.webshop.interfaces.pages import OFFICIAL, Kind, Visible
from eefcore.envs.webshop.interfaces.session import END, ITEM, RESULTS, START, SUB, Options, Session
from eefcore.envs.webshop.shop import Shop


class Target(NamedTuple):
    """What a click lands on: a button, a product by its id, or an option by its name."""

    kind: Kind
    of: str = ""


class Place(NamedTuple):
    """What a page's strings depend on, the goal and what is marked aside."""

    page: str
    query: str = ""
    number: int = 0
    asin: str = ""
    sub_page: str = ""


class Page(NamedTuple):
    """The strings of a page, those that tell the goal aside, and what can be clicked there."""

    seen: tuple[Visible, ...]
    clickables: dict[str, Target]


class Marks(NamedTuple):
    """What may be marked as clicked: products visited, options that the URL holds in double quotes."""

    visited: frozenset[str] = frozenset()
    options: Options = ()
    query: str = ""

    @property
    def url(self) -> str:
        """As much of the URL as can hold quotes."""
        return f"{self.query} {json.dumps(dict(self.options))}"


_NONE = Marks()


class Written(NamedTuple):
    """A page as text, in two parts: what stands before the lines that tell the goal, and what after."""

    before: str
    after: str


class OfficialPages:
    """The pages of a shop, each made and written once."""

    def __init__(self, shop: Shop, *, rich: bool) -> None:
        self._shop = shop
        self._rich = rich
        self._page = lru_cache(maxsize=16384)(self._made_page)
        self._text = lru_cache(maxsize=16384)(self._written_page)
        self._opening = lru_cache(maxsize=4096)(self._written_opening)
        self.receipt = lru_cache(maxsize=16384)(self._receipt)

    def at(self, session: Session, instruction: str) -> str:
        """The page where a session is, any but the last."""
        if session.page == START:
            return self._opening(instruction, START)
        before, after = self._text(_place(session), self._marks(session))
        return before + self._opening(instruction, RESULTS) + after

    def clickables(self, session: Session) -> dict[str, Target]:
        """What `click[…]` takes there, in lower case and page order."""
        return self._page(_place(session)).clickables

    def _receipt(self, asin: str, options: Options, reward: float) -> str:
        """What is shown after the purchase, which the goal is no part of."""
        page = pages.done_page(asin, dict(options), reward)
        return _marked(page).after if self._rich else _plain(page)

    def _marks(self, session: Session) -> Marks:
        """What `text_rich` marks on that page."""
        if not self._rich:
            return _NONE
        if session.page == RESULTS:
            return Marks(session.visited)
        if session.page == ITEM:
            return Marks(options=session.options, query=session.query if '"' in session.query else "")
        return _NONE

    def _made_page(self, where: Place) -> Page:
        catalogue = self._shop.catalogue
        if where.page == START:
            return Page((), {"search": Target(Kind.BUTTON)})
        if where.page == END:
            return Page((), {})
        if where.page == RESULTS:
            found = self._shop.found(tuple(where.query.split(" ")))
            listed = [catalogue[a] for a in pages.window(found, where.number, OFFICIAL.per_page)]
            return _page(pages.results_page(where.number, len(found), listed))
        product = catalogue[where.asin]
        if where.page == SUB:
            return _page(pages.sub_page(OFFICIAL, product, where.sub_page))
        page = _page(pages.item_page(product))
        for name, values in product.options.items():
            page.clickables.update((value, Target(Kind.OPTION, name)) for value in values)
        return page

    def _written_page(self, where: Place, marks: Marks) -> Written:
        seen = self._page(where).seen
        return _marked(seen, marks) if self._rich else Written("", f" [SEP] {_plain(seen)}")

    def _written_opening(self, instruction: str, page: str) -> str:
        """The start page, or the lines that open any other."""
        seen = pages.start_page(OFFICIAL, instruction) if page == START else pages.opening(instruction)
        return _marked(seen).after if self._rich else _plain(seen)


def _place(session: Session) -> Place:
    """The page where a session is."""
    page = session.page
    if page == RESULTS:
        return Place(page, session.query, session.number)
    if page == ITEM:
        return Place(page, "", 0, session.asin)
    return Place(page, "", 0, session.asin, session.sub_page) if page == SUB else Place(page)


def _plain(page: Sequence[Visible]) -> str:
    """`text`: strings without outer white space, ` [SEP] ` between; a space alone stays as an empty field."""
    return " [SEP] ".join(text.strip() for _, text in page if text != "\n")


def _marked(page: Sequence[Visible], marks: Marks = _NONE) -> Written:
    """`text_rich`: a string a line, what was clicked marked, a line about each such option in front."""
    before, lines, url = "", [], marks.url
    for kind, text in page:
        if text == "\n":
            continue
        if kind is Kind.BUTTON:
            lines.append(f"[button] {text} [button_]")
        elif kind is Kind.OPTION and f'"{text}"' in url:
            lines.append(f"  [clicked button] {text} [clicked button_]")
            before = f"You have clicked {text}.\n{before}"
        elif kind is Kind.OPTION:
            lines.append(f"  [button] {text} [button_]")
        elif kind is Kind.PRODUCT and text in marks.visited:
            lines.append(f"\n[clicked button] {text} [clicked button_]")
        elif kind is Kind.PRODUCT:
            lines.append(f"\n[button] {text} [button_]")
        else:
            lines.append(text)
    return Written(before, "".join(f"{line}\n" for line in lines))


def _page(seen: Sequence[Visible]) -> Page:
    """A page whose buttons and products can be clicked."""
    clickables = {text.lower(): Target(kind) for kind, text in seen if kind is Kind.BUTTON}
    clickables |= {text.lower(): Target(kind, text) for kind, text in seen if kind is Kind.PRODUCT}
    return Page(tuple(seen), clickables)
