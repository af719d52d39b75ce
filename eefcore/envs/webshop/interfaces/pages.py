"""What each page of the shop shows: the visible strings of its HTML, in reading order.

The official site and the copy behind AgentLite (AgentBoard's) show the same pages but for a heading, a button
and two numbers. Each interface writes these strings in its own way (`agentlite`, `official`), so both are
made from what is here.

    start     heading, "Instruction: ", the goal, [Search]
    results   [Back to Search], "Page i (Total results: n)", [< Prev], [Next >]; id, title, price of products
    item      [Back to Search], [< Prev], option groups, title, price, rating, three sub pages, [Buy Now]
    sub       [Back to Search], [< Prev], what the button named
    done      the receipt, with the score

Every page but the first and the last opens with "Instruction:" and the goal (`opening`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from eefcore.envs.webshop.catalogue.product import Product

BACK, PREV, NEXT, BUY = "Back to Search", "< Prev", "Next >", "Buy Now"
SUB_PAGES = ("Description", "Features", "Reviews", "Attributes")
RATING = "N.A."
"""Of every product: the official loader leaves reviews and ratings out."""


class Kind(Enum):
    """What a visible string is part of."""

    TEXT = "text"
    BUTTON = "button"
    OPTION = "option"
    PRODUCT = "product"


class Visible(NamedTuple):
    """A string that a reader of the page sees."""

    kind: Kind
    text: str


class Site(NamedTuple):
    """What the two copies of the shop differ in."""

    heading: str
    search_button: str
    per_page: int
    total: int | None
    """What every results page says it found, whatever it found; None for the truth."""
    margin: str
    """White space before the product category, which one template breaks the line for."""


OFFICIAL = Site("WebShop", "Search", 10, None, "")
AGENTBOARD = Site("Let us begin shopping", "[Search", 3, 15, "\n" + 28 * " ")


def window(asins: Sequence[str], number: int, per_page: int) -> Sequence[str]:
    """The ids on results page `number`: none past the end, and from the end for negative numbers."""
    return asins[(number - 1) * per_page : number * per_page]


def start_page(site: Site, instruction: str) -> list[Visible]:
    """Where a session begins."""
    texts = [site.heading, "Instruction: ", instruction]
    return _seen([*map(_text, texts), Visible(Kind.BUTTON, site.search_button)])


def opening(instruction: str) -> list[Visible]:
    """What every page in between opens with."""
    return _seen([_text("Instruction:"), _text(instruction)])


def results_page(number: int, total: int, products: Sequence[Product]) -> list[Visible]:
    """Page `number` of a search that found `total`."""
    turn = [PREV, NEXT] if number > 1 else [NEXT]
    page = [Visible(Kind.BUTTON, BACK), _text(f"Page {number} (Total results: {total})")]
    page += [Visible(Kind.BUTTON, name) for name in turn]
    for product in products:
        page += [Visible(Kind.PRODUCT, product.asin), _text(product.title), _text(product.price_tag)]
    return _seen(page)


def item_page(product: Product) -> list[Visible]:
    """A product, its options unselected: what is selected shows only in how an interface writes it."""
    page = [Visible(Kind.BUTTON, BACK), Visible(Kind.BUTTON, PREV)]
    for name, values in product.options.items():
        page += [_text(name), *(Visible(Kind.OPTION, value) for value in values)]
    page += map(_text, (product.title, f"Price: {product.price_tag}", f"Rating: {RATING}"))
    page += [Visible(Kind.BUTTON, name) for name in (*SUB_PAGES[:3], BUY)]
    return _seen(page)


def sub_page(site: Site, product: Product, name: str) -> list[Visible]:
    """What is behind one of `SUB_PAGES`; no product has reviews."""
    texts = {
        "Description": lambda: [product.description],
        "Features": lambda: [f" {bullet}" for bullet in product.bullets],
        "Reviews": lambda: [],
        "Attributes": lambda: [
            *(f" {attribute}" for attribute in product.attributes),
            product.category,
            product.query,
            f"{site.margin}{product.product_category}",
        ],
    }[name]()
    return _seen([Visible(Kind.BUTTON, BACK), Visible(Kind.BUTTON, PREV), *map(_text, texts)])


def done_page(asin: str, options: Mapping[str, str], reward: float) -> list[Visible]:
    """The receipt of the official text environment, which hands its template little more than these three."""
    texts = ["Thank you for shopping with us!", "Your code: ", "None", " (Paste it in your MTurk interface.)"]
    texts += ["Purchased", "asin", asin, "options", _json_for_html(options), "attrs", "None"]
    texts += ["category", "None", "query", "None", "product category", "None"]
    texts += ["Target", "asin", "options", "attrs", "price upper", "instuction text", "category"]
    texts += ["product category", "query", "Goal ", "None", "Reward"]
    texts += ["Your score (min 0.0, max 1.0)", str(reward), "Reward Details ", "None"]
    return _seen([*map(_text, texts)])


def _json_for_html(options: Mapping[str, str]) -> str:
    """Options as Flask's `tojson` writes them: keys sorted, and `< > & '` as escapes."""
    text = json.dumps(dict(options), sort_keys=True)
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _text(text: str) -> Visible:
    return Visible(Kind.TEXT, text)


def _seen(page: Sequence[Visible]) -> list[Visible]:
    """`page` as BeautifulSoup hands it over: no empty strings, white space alone made one character."""
    return [Visible(kind, _shortened(text)) for kind, text in page if text]


def _shortened(text: str) -> str:
    if text.strip(" \n\t\f\r"):
        return text
    return "\n" if "\n" in text else " "
