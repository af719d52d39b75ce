"""The visible strings of each page of the shop's HTML, in reading order.

The official site, the one that ReAct visited and the copy behind AgentLite (AgentBoard's) show the same pages but for
a heading, a button and two numbers. Each interface writes these strings in its own way (`agentlite_pages`, `official_pages`).

    start     heading, "Instruction: ", the goal, [Search]
    results   [Back to Search], "Page i (Total results: n)", [< Prev], [Next >]; id, title, price of products
    item      [Back to Search], [< Prev], option groups, title, price, rating, three sub pages, [Buy Now]
    sub       [Back to Search], [< Prev], the text that the button named
    done      the receipt, with the score

Every page but the first and the last opens with "Instruction:" and the goal (`page_opening`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import partial
from typing import NamedTuple

from eefcore.envs.webshop.catalogue.product import Product

BACK, PREV, NEXT, BUY = "Back to Search", "< Prev", "Next >", "Buy Now"
SUB_PAGES = ("Description", "Features", "Reviews", "Attributes")
RATING = "N.A."
"""Every product's rating: the official loader leaves reviews and ratings out."""


class StringKind(Enum):
    """The part that a visible string has on a page."""

    TEXT = "text"
    BUTTON = "button"
    OPTION = "option"
    PRODUCT = "product"


class VisibleString(NamedTuple):
    """A string that a reader of the page sees."""

    kind: StringKind
    text: str


class Site(NamedTuple):
    """The differences between copies of the shop."""

    heading: str  # of the start page
    search_button: str
    per_page: int  # products on a results page
    total: int | None  # the number of results that every results page shows; None for the true number
    margin: str  # white space before the product category, where one template breaks the line


OFFICIAL = Site("WebShop", "Search", 10, None, "")
REACT = Site("Webshop", "Search", 3, None, "")
AGENTBOARD = Site("Let us begin shopping", "[Search", 3, 15, "\n" + 28 * " ")


def ids_on_page(asins: Sequence[str], number: int, per_page: int) -> Sequence[str]:
    """Return the ids on results page `number`: none past the end, and from the end for negative numbers."""
    return asins[(number - 1) * per_page : number * per_page]


def start_page(site: Site, instruction: str) -> list[VisibleString]:
    """Return the page where a visit begins."""
    return [*_texts(site.heading, "Instruction: ", instruction), *_buttons(site.search_button)]


def page_opening(instruction: str) -> list[VisibleString]:
    """Return the strings that every page but the first and the last opens with."""
    return _texts("Instruction:", instruction)


def results_page(site: Site, number: int, found: int, products: Sequence[Product]) -> list[VisibleString]:
    """Return page `number` of a search that found `found` products."""
    total = found if site.total is None else site.total
    page = [*_buttons(BACK), *_texts(f"Page {number} (Total results: {total})")]
    page += _buttons(PREV, NEXT) if number > 1 else _buttons(NEXT)
    for product in products:
        page += _strings(StringKind.PRODUCT, product.asin)
        page += _texts(product.title, product.price_tag)
    return page


def item_page(product: Product) -> list[VisibleString]:
    """Return a product's page, its options not selected: each interface marks what is selected in its own way."""
    page = _buttons(BACK, PREV)
    for name, values in product.options.items():
        page += [*_texts(name), *_strings(StringKind.OPTION, *values)]
    page += _texts(product.title, f"Price: {product.price_tag}", f"Rating: {RATING}")
    return [*page, *_buttons(*SUB_PAGES[:3], BUY)]


def sub_page(site: Site, product: Product, name: str) -> list[VisibleString]:
    """Return the page behind one of `SUB_PAGES`; no product has reviews."""
    category = (product.category, product.query, f"{site.margin}{product.product_category}")
    texts = {
        "Description": (product.description,),
        "Features": (f" {bullet}" for bullet in product.bullets),
        "Reviews": (),
        "Attributes": (*(f" {attribute}" for attribute in product.attributes), *category),
    }[name]
    return [*_buttons(BACK, PREV), *_texts(*texts)]


def done_page(asin: str, options: Mapping[str, str], reward: float) -> list[VisibleString]:
    """Return the receipt of the official text environment, whose template gets little more than these three values."""
    texts = ["Thank you for shopping with us!", "Your code: ", "None", " (Paste it in your MTurk interface.)"]
    texts += ["Purchased", "asin", asin, "options", _json_for_html(options), "attrs", "None"]
    texts += ["category", "None", "query", "None", "product category", "None"]
    texts += ["Target", "asin", "options", "attrs", "price upper", "instuction text", "category"]
    texts += ["product category", "query", "Goal ", "None", "Reward"]
    texts += ["Your score (min 0.0, max 1.0)", str(reward), "Reward Details ", "None"]
    return _texts(*texts)


def _json_for_html(options: Mapping[str, str]) -> str:
    """Write options as Flask's `tojson` does: keys sorted, and `< > & '` as escapes."""
    text = json.dumps(dict(options), sort_keys=True)
    return text.translate({ord(character): f"\\u{ord(character):04x}" for character in "<>&'"})


def _strings(kind: StringKind, *texts: str) -> list[VisibleString]:
    """Return texts as BeautifulSoup parses them: without empty ones, white space alone reduced to one character."""
    blank = {text: "\n" if "\n" in text else " " for text in texts if not text.strip(" \n\t\f\r")}
    return [VisibleString(kind, blank.get(text, text)) for text in texts if text]


_texts, _buttons = partial(_strings, StringKind.TEXT), partial(_strings, StringKind.BUTTON)
