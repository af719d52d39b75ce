"""Search the restaurants of a city: by words, by filters, page by page, with suggestions for words that match nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any, NamedTuple

from rapidfuzz import process
from rapidfuzz.fuzz import WRatio

from eefcore.envs.booking.queries import SORTS, SearchQuery
from eefcore.envs.booking.world import Restaurant, World

PER_PAGE = 5
SUGGESTIONS = 3

_ORDERS: dict[str, Callable[[Restaurant], Any]] = dict(
    zip(
        SORTS,
        (lambda r: (-r.stars, r.name), lambda r: (r.price, -r.stars, r.name), lambda r: r.name),
        strict=True,
    )
)


class Results(NamedTuple):
    """A page of restaurants, how many there are on all pages, and suggestions if there are none."""

    restaurants: tuple[Restaurant, ...]
    total: int
    page: int
    pages: int
    suggestions: tuple[Restaurant, ...]


def search(world: World, city: str, query: SearchQuery) -> Results:
    """Return a page of the restaurants of a city that fit a query; a page after the last is the last."""
    local = world.in_city(city)
    found = sorted((r for r in local if _fits(r, query)), key=_ORDERS[query.sort])
    pages = max(1, -(-len(found) // PER_PAGE))
    page = min(query.page, pages)
    shown = found[PER_PAGE * (page - 1) : PER_PAGE * page]
    suggestions = () if found or not query.words else _similar(local, query.words)
    return Results(tuple(shown), len(found), page, pages, suggestions)


def _fits(restaurant: Restaurant, query: SearchQuery) -> bool:
    text = _fold(f"{restaurant.name} {restaurant.cuisine} {restaurant.district}")
    return (
        all(word in text for word in _fold(query.words).split())
        and query.cuisine in ("", restaurant.cuisine)
        and query.district in ("", restaurant.district)
        and query.price in (0, restaurant.price)
    )


def _similar(restaurants: tuple[Restaurant, ...], words: str) -> tuple[Restaurant, ...]:
    """Return the restaurants whose names are most like `words`, the most alike first."""
    names = {i: _fold(restaurant.name) for i, restaurant in enumerate(restaurants)}
    best = process.extract(_fold(words), names, scorer=WRatio, limit=SUGGESTIONS, score_cutoff=60)
    return tuple(restaurants[i] for _, _, i in best)


def _fold(text: str) -> str:
    """Return a text without accents and letter case."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c))
