"""The colours and sizes the official reward knows by name (engine/normalize.py of princeton-nlp/WebShop)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_COLOURS = """
    alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy
    camel camo caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral
    cranberry cream crystal dark denim eggplant elephant espresso fuchsia gold granite grape graphite
    grass gray green grey heather indigo ivory ivy khaki lavender lemon leopard light lilac lime magenta
    maroon mauve merlot midnight mint mocha multicolor mushroom mustard natural navy nude olive orange
    peach pewter pink plum purple rainbow red rose royal rust sand sapphire seashell silver skull slate
    steel stone stonewash sunflower tan taupe teal tiger turquoise violet walnut wheat white wine yellow
"""

COLOURS = tuple(_COLOURS.split())
"""102 words, in the order in which they are looked for."""

SIZES = (
    "xx-large",
    "3x-large",
    "4x-large",
    "5x-large",
    "x-large",
    "x-small",
    "medium",
    "large",
    "small",
    "queen",
    "twin",
    "full",
    "king",
    "one size",
    "pack",
    r"(.*)neck(.*)sleeve",
    r"(.*) women \| (.*) men",
    r"(.*)w x(.*)l",
    r"(.*)w by (.*)l",
    r"(.*)w x(.*)h",
    r"(.*)wide",
    r"(.*)x-wide",
    r"(.*)narrow",
    r"(.*)petite",
    r"(.*)inch",
    r"(.*)plus",
    r"(.*)mm",
    r"women(.*)",
    r"(.*)x(.*)",
    r"(.*)ft",
    r"(.*)feet",
    r"(.*)meter",
    r"(.*)yards",
    r"(.*)\*(.*)",
    r"(.*)\-(.*)",
    r'(\d+)"$',
    r"(\d+)f$",
    r"(\d+)m$",
    r"(\d+)cm$",
    r"(\d+)g$",
)
"""Regular expressions, tried in this order."""

_NOT_MATCHED = "not_matched"


class Normalized(NamedTuple):
    """What each colour and each size of a shop is called in common words."""

    colors: dict[str, str]
    sizes: dict[str, str]


def normalize_color(option: str | tuple[str, str]) -> str | tuple[str, str]:
    """The first colour word, in list order, that is part of the option; else the option itself.

    "part of" is Python's `in`: within a text it is a substring (`red` is in `shredded`), within the (name,
    value) pair of a synthetic goal it is equality with one of the two, as in the official engine.
    """
    return next((colour for colour in COLOURS if colour in option), option)


def normalize_color_size(products: Iterable[tuple[object, str, str]]) -> Normalized:
    """The colour word and the size pattern of each colour and size in (product, colour, size) triples."""
    colors, sizes = {"N.A.": _NOT_MATCHED}, {"N.A.": _NOT_MATCHED}
    for _, color, size in products:
        color, size = color.lower(), size.lower()
        colors[color] = next((c for c in COLOURS if c in color), _NOT_MATCHED)
        sizes[size] = _size(size)
    return Normalized(colors, sizes)


def _size(size: str) -> str:
    pattern = next((p for p in SIZES if re.search(p, size)), None)
    if pattern is not None:
        return pattern
    return "numeric_size" if size.replace(".", "", 1).isdigit() else _NOT_MATCHED
