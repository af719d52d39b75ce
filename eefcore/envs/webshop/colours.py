"""The colours that the official reward knows by name (engine/normalize.py of princeton-nlp/WebShop)."""

from __future__ import annotations

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
"""102 words, in the order in which they are tried."""


def normalize_color(option: str | tuple[str, str]) -> str | tuple[str, str]:
    """Return the first colour word, in list order, that is part of the option; else the option itself.

    "Part of" is Python's `in`: within a text it is a substring (`red` is in `shredded`), within the (name,
    value) pair of a synthetic goal it is equality with one of the two, as in the official engine.
    """
    return next((colour for colour in COLOURS if colour in option), option)
