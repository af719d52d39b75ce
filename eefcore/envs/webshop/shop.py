"""Search the catalogue and compute the reward of a purchase, for every interface of the shop."""

from __future__ import annotations

from functools import lru_cache

from eefcore.envs.webshop.catalogue.product import SearchableCatalogue
from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.nouns import NounTagger
from eefcore.envs.webshop.reward import get_reward

TOP = 50  # results of a search, at most
FILTERS = (
    "<r>",
    "<a>",
    "<c>",
    "<q>",
)  # list products by chance, attribute, category or query, without searching


class Shop:
    """Searches and rewards, each computed once. Shared by every episode of a process."""

    def __init__(self, catalogue: SearchableCatalogue, nouns: NounTagger, *, cached: int = 8192) -> None:
        self.catalogue = catalogue
        self.nouns = nouns
        self.search = lru_cache(maxsize=cached)(self._search)
        self.reward = lru_cache(maxsize=cached)(self._reward)

    def _search(self, keywords: tuple[str, ...]) -> tuple[str, ...]:
        """Return the ids that a search for `keywords` lists, best first; a filter is not cut at the top 50."""
        first, rest = keywords[0], keywords[1:]
        if first not in FILTERS:
            return tuple(self.catalogue.search(" ".join(keywords), TOP))
        value = " ".join(rest[:1] if first == "<c>" else rest).strip()
        return tuple(self.catalogue.filtered(first, value))

    def _reward(self, goal: Goal, asin: str, options: tuple[str, ...]) -> float:
        """Return R of buying `asin` with the option values `options`."""
        product = self.catalogue[asin]
        return get_reward(product, goal, product.price, options, self.nouns).total
