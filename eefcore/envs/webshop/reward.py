"""R(τ) of WebShop: what was bought against what was asked (engine/goal.py:130-269 of princeton-nlp/WebShop).

    R = r_type · (A + O + P) / (|attributes| + |options| + 1)

    A   get_attribute_reward   goal attributes the product has
    O   get_option_reward      goal options that were chosen
    P   compose_reward         1 if the price is within the cap
    r_type   get_type_reward   1, 0.5, 0.1 or 0: is it the right kind of thing

Pure functions, named as in the official engine, lenient where it is lenient: `large` satisfies `x-large`,
because all its words are among the other's. Buying the very product asked for may give a title score below 1
(a noun that is repeated counts once above and twice below), which is harmless.

Texts are compared by `token_set_ratio`, rounded, above 85. Official numbers come from thefuzz 0.19 on
Python's difflib; we use rapidfuzz, as later thefuzz does. Over 400,000 attribute pairs of the catalogue they
agree on every decision, over 16,810 pairs of options they differ on 6. Texts are prepared as 0.19 prepares
them: characters 128-255 dropped, all but letters, digits and `_` made spaces (rapidfuzz's own preparation
also splits words at `_`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz.fuzz import token_set_ratio

from eefcore.envs.webshop.catalogue.product import Product
from eefcore.envs.webshop.colours import normalize_color
from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.nouns import NounTagger


class TypeReward(NamedTuple):
    """r_type and what it was made from."""

    r_type: float
    query_match: bool
    category_match: bool
    title_score: float


class AttributeReward(NamedTuple):
    """The share of the goal's attributes that the product has, and their number A."""

    r_attr: float
    matches: int


class OptionReward(NamedTuple):
    """The share of the goal's options that were chosen, None where it has none, and their number O."""

    r_option: float | None
    matches: int


class Reward(NamedTuple):
    """R(τ) in [0, 1], and its parts for whoever wants to know why."""

    total: float
    kind: TypeReward
    attributes: AttributeReward
    options: OptionReward
    r_price: bool


def get_reward(
    purchased: Product, goal: Goal, price: float, options: Sequence[str], nouns: NounTagger
) -> Reward:
    """R for buying `purchased` at `price` with the option values `options`."""
    kind = get_type_reward(
        purchased.query, purchased.product_category, purchased.title, goal=goal, nouns=nouns
    )
    attributes = get_attribute_reward(purchased, goal.attributes)
    chosen = get_option_reward(options, goal.compared_options)
    total = compose_reward(
        attributes.matches,
        len(goal.attributes),
        chosen.matches,
        len(goal.options),
        price,
        goal.price_upper,
        kind.r_type,
    )
    return Reward(total, kind, attributes, chosen, price <= goal.price_upper)


def get_type_reward(
    query: str, product_category: str, name: str, *, goal: Goal, nouns: NounTagger
) -> TypeReward:
    """Whether a product of that query, category and name is the kind of thing `goal` is about.

    Two categories match if their paths share at least two parts, wherever they stand.
    """
    query_match = query == goal.query
    category_match = len(_path(product_category) & _path(goal.product_category)) >= 2
    score = title_score(name, goal.name, nouns)
    return TypeReward(compose_r_type(query_match, category_match, score), query_match, category_match, score)


def title_score(purchased_name: str, goal_name: str, nouns: NounTagger) -> float:
    """|nouns bought ∩ nouns asked| / |nouns asked|, repeated ones counted below only; 0.2 without any."""
    asked = nouns(goal_name)
    return len(set(nouns(purchased_name)) & set(asked)) / len(asked) if asked else 0.2


def compose_r_type(query_match: bool, category_match: bool, title_score: float) -> float:
    """1 if query, category or title (over 0.2) match, else 0.5; but 0.1 for a title below 0.1, 0 at 0."""
    if title_score == 0.0:
        return 0.0
    if title_score < 0.1:
        return 0.1
    return 1.0 if query_match or category_match or title_score > 0.2 else 0.5


def get_attribute_reward(purchased: Product, attributes: Sequence[str]) -> AttributeReward:
    """How many of the goal's attributes (one at least) are like one of the product's or in its texts."""
    title, bullets = purchased.title.lower(), " ".join(purchased.bullets).lower()
    description = purchased.description.lower()
    matches = sum(
        any(_alike(own, asked) for own in purchased.attributes)
        or asked in title
        or asked in bullets
        or asked in description
        for asked in attributes
    )
    return AttributeReward(matches / len(attributes), matches)


def get_option_reward(
    purchased_options: Sequence[str], goal_options: Sequence[str | tuple[str, str]]
) -> OptionReward:
    """How many of the goal's options are like one that was chosen, whatever the options are called.

    A goal option is a value (human goals) or a (name, value) pair (synthetic goals), which is compared as
    Python prints it.
    """
    chosen = [normalize_color(option) for option in purchased_options]
    asked = [normalize_color(option) for option in goal_options]
    matches = sum(any(_alike(own, str(wanted)) for own in chosen) for wanted in asked)
    return OptionReward(matches / len(asked) if asked else None, matches)


def compose_reward(
    num_attr_matches: int,
    n_attributes: int,
    num_option_matches: int,
    n_goal_options: int,
    price: float,
    price_upper: float,
    r_type: float,
) -> float:
    """r_type · (A + O + P) / (|attributes| + |options| + 1)."""
    within = price <= price_upper
    return (num_attr_matches + num_option_matches + within) / (n_attributes + n_goal_options + 1) * r_type


def _path(category: str) -> set[str]:
    return {part.strip() for part in category.split("›")}


@lru_cache(maxsize=65536)
def _alike(a: str, b: str) -> bool:
    return round(token_set_ratio(_prepared(a), _prepared(b))) > 85


_DROPPED = dict.fromkeys(range(128, 256))
_NOT_WORD = re.compile(r"\W")


def _prepared(text: str) -> str:
    return _NOT_WORD.sub(" ", text.translate(_DROPPED)).lower().strip()
