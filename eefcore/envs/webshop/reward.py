"""The reward R(τ) of a purchase in WebShop (engine/goal.py:130-269 of princeton-nlp/WebShop).

    R = r_type · (A + O + P) / (|attributes| + |options| + 1)

    A   get_attribute_reward   goal attributes the product has
    O   get_option_reward      goal options that were chosen
    P   compose_reward         1 if the price is within the cap
    r_type   get_type_reward   1, 0.5, 0.1 or 0: whether it is the right kind of product

The functions are pure, named as in the official engine, and lenient where it is lenient: `large` satisfies `x-large`,
because all words of the one are in the other.

Two texts match when their `token_set_ratio`, rounded, is above 85. Official numbers come from thefuzz 0.19 on
Python's difflib; we use rapidfuzz, as later thefuzz does. Over 400,000 attribute pairs of the catalogue they
agree on every decision; over 16,810 pairs of options they differ on 6. Texts are prepared as in 0.19 (`_prepare`;
rapidfuzz's own preparation also splits words at `_`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz.fuzz import token_set_ratio

from eefcore.envs.webshop.catalogue.product import Product
from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.nouns import NounTagger

_COLOURS = """
    alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy camel camo
    caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral cranberry cream crystal
    dark denim eggplant elephant espresso fuchsia gold granite grape graphite grass gray green grey heather indigo ivory
    ivy khaki lavender lemon leopard light lilac lime magenta maroon mauve merlot midnight mint mocha multicolor
    mushroom mustard natural navy nude olive orange peach pewter pink plum purple rainbow red rose royal rust sand
    sapphire seashell silver skull slate steel stone stonewash sunflower tan taupe teal tiger turquoise violet walnut
    wheat white wine yellow
"""
COLOURS = tuple(_COLOURS.split())
"""The 102 colours that the reward knows by name, in the order in which they are tried (engine/normalize.py)."""


class TypeReward(NamedTuple):
    """r_type, and what it was computed from."""

    r_type: float
    query_match: bool
    category_match: bool
    title_score: float


class Matches(NamedTuple):
    """The share of the goal's attributes or options that were met, None where it has none, and their number A or O."""

    share: float | None
    matches: int


class Reward(NamedTuple):
    """R(τ) in [0, 1], and its parts, which explain it."""

    total: float
    kind: TypeReward
    attributes: Matches
    options: Matches
    r_price: bool


def get_reward(
    purchased: Product, goal: Goal, price: float, options: Sequence[str], nouns: NounTagger
) -> Reward:
    """Return R for buying `purchased` at `price` with the option values `options`."""
    kind = get_type_reward(purchased, goal, nouns)
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


def get_type_reward(purchased: Product, goal: Goal, nouns: NounTagger) -> TypeReward:
    """Return whether a product is of the kind that `goal` asks for.

    Two categories match if their paths share at least two parts, in any positions.
    """
    query_match = purchased.query == goal.query
    parts = [{part.strip() for part in path.product_category.split("›")} for path in (purchased, goal)]
    category_match = len(parts[0] & parts[1]) >= 2
    score = title_score(purchased.title, goal.name, nouns)
    return TypeReward(compose_r_type(query_match, category_match, score), query_match, category_match, score)


def title_score(purchased_name: str, goal_name: str, nouns: NounTagger) -> float:
    """Return |nouns bought ∩ nouns asked| / |nouns asked|, repetitions in the denominator only; 0.2 if none are asked."""
    asked = nouns(goal_name)
    return len(set(nouns(purchased_name)) & set(asked)) / len(asked) if asked else 0.2


def compose_r_type(query_match: bool, category_match: bool, title_score: float) -> float:
    """Return 1 if query, category or title (score over 0.2) match, else 0.5; but 0.1 for a title score below 0.1, 0 for 0."""
    if title_score == 0.0:
        return 0.0
    if title_score < 0.1:
        return 0.1
    return 1.0 if query_match or category_match or title_score > 0.2 else 0.5


def get_attribute_reward(purchased: Product, attributes: Sequence[str]) -> Matches:
    """Count the goal's attributes (one at least) that match one of the product's, or stand in its texts."""
    texts = [text.lower() for text in (purchased.title, " ".join(purchased.bullets), purchased.description)]
    matches = sum(
        any(_match(own, asked) for own in purchased.attributes) or any(asked in text for text in texts)
        for asked in attributes
    )
    return Matches(matches / len(attributes), matches)


def get_option_reward(
    purchased_options: Sequence[str], goal_options: Sequence[str | tuple[str, str]]
) -> Matches:
    """Count the goal's options that match one that was chosen, whatever the options are called.

    A goal option is a value (human goals) or a (name, value) pair (synthetic goals), which is compared as
    Python prints it.
    """
    chosen = [normalize_color(option) for option in purchased_options]
    asked = [normalize_color(option) for option in goal_options]
    matches = sum(any(_match(own, str(wanted)) for own in chosen) for wanted in asked)
    return Matches(matches / len(asked) if asked else None, matches)


def normalize_color(option: str | tuple[str, str]) -> str | tuple[str, str]:
    """Return the first colour word, in list order, that is part of the option; else the option itself.

    "Part of" is Python's `in`: within a text it is a substring (`red` is in `shredded`), within the (name,
    value) pair of a synthetic goal it is equality with one of the two, as in the official engine.
    """
    return next((colour for colour in COLOURS if colour in option), option)


def compose_reward(
    num_attr_matches: int,
    n_attributes: int,
    num_option_matches: int,
    n_goal_options: int,
    price: float,
    price_upper: float,
    r_type: float,
) -> float:
    """Return r_type · (A + O + P) / (|attributes| + |options| + 1)."""
    within = price <= price_upper
    return (num_attr_matches + num_option_matches + within) / (n_attributes + n_goal_options + 1) * r_type


@lru_cache(maxsize=65536)
def _match(a: str, b: str) -> bool:
    return round(token_set_ratio(_prepare(a), _prepare(b))) > 85


_DROPPED = dict.fromkeys(range(128, 256))
_NOT_WORD = re.compile(r"\W")


def _prepare(text: str) -> str:
    """Return the text without characters 128-255, with spaces for all but letters, digits and `_`."""
    return _NOT_WORD.sub(" ", text.translate(_DROPPED)).lower().strip()
