"""A product, as the official loader reads it (engine/engine.py:230-362), and what a catalogue of them offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A product as it is stored."""

    asin: str
    title: str  # `name` of the official file
    description: str  # `full_description`
    bullets: tuple[str, ...]  # `small_description`
    options: dict[
        str, tuple[str, ...]
    ]  # name in lower case: values stripped, `/` as ` | `, lower case, in file order
    prices: tuple[float, ...]  # one price, or the low and the high of a range; none where the file has none
    category: str  # the shop's department (`beauty`, `garden`, …)
    product_category: str  # the path, parts separated by ` › `
    query: str  # the human search query of the file, lower case and stripped
    attributes: tuple[str, ...]  # of `items_ins`; ("DUMMY_ATTR",) where it has none

    @property
    def text(self) -> str:
        """The text in the official index: title, description, first bullet and options."""
        options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in self.options.items())
        return " ".join((self.title, self.description, *(self.bullets[:1] or [""]), options)).lower()


class Product(Entry, frozen=True):
    """A product as the shop shows it and the reward reads it; `prices` is (100.0,) where the file has none."""

    price_tag: str  # what pages print: `$9.99`, `$9.99 to $12.0`
    price: (
        float  # what the reward compares with the cap; drawn once by content from a range (see `catalogue`)
    )


class SearchableCatalogue(Protocol):
    """The part of a catalogue that goals and a shop need."""

    hash: str
    asins: Sequence[str]

    def __len__(self) -> int: ...
    def __contains__(self, asin: object) -> bool: ...
    def __getitem__(self, asin: str) -> Product: ...
    def search(self, query: str, k: int = 50) -> tuple[str, ...]: ...
    def filtered(self, kind: str, value: str) -> Sequence[str]: ...
