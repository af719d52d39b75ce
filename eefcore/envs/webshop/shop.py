"""A catalogue with what every interface asks of it: what a search lists, and what a purchase is worth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from eefcore.envs.webshop.catalogue.product import Product
from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.nouns import NounTagger
from eefcore.envs.webshop.reward import get_reward

TOP = 50
"""Results that a search lists at most."""

FILTERS = ("<r>", "<a>", "<c>", "<q>")
"""First keywords that list products by chance, attribute, category or query, without searching."""


class Catalogue(Protocol):
    """What a shop needs of a catalogue."""

    hash: str
    asins: Sequence[str]

    def __len__(self) -> int: ...
    def __contains__(self, asin: str) -> bool: ...
    def __getitem__(self, asin: str) -> Product: ...
    def search(self, query: str, k: int = 50) -> tuple[str, ...]: ...
    def filtered(self, kind: str, value: str) -> Sequence[str]: ...


class Shop:
    """Searches and scores, each computed once. Shared by every episode of a process."""

    def __init__(self, catalogue: Catalogue, nouns: NounTagger, *, remembered: int = 8192) -> None:
        self.catalogue = catalogue
        self.nouns = nouns
        self.found = lru_cache(maxsize=remembered)(self._found)
        self.worth = lru_cache(maxsize=remembered)(self._worth)

    def _found(self, keywords: tuple[str, ...]) -> tuple[str, ...]:
        """The ids that a search for `keywords` lists, best first; a filter is not cut at the top 50."""
        first, rest = keywords[0], keywords[1:]
        if first not in FILTERS:
            return tuple(self.catalogue.search(" ".join(keywords), TOP))
        value = " ".join(rest[:1] if first == "<c>" else rest).strip()
        return tuple(self.catalogue.filtered(first, value))

    def _worth(self, goal: Goal, asin: str, options: tuple[str, ...]) -> float:
        """R of buying `asin` with the option values `options`."""
        product = self.catalogue[asin]
        return get_reward(product, goal, product.price, options, self.nouns).total
