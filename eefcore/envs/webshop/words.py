"""The vocabulary of generated shops: kinds of product, options, attributes, brands, and product ids.

Words are chosen so that the official scoring (fuzzy match above 85, colour normalisation) tells them apart:
no size is part of another, no colour word contains a second one, no attribute is a variant of another.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple


class ProductKind(NamedTuple):
    """A kind of product."""

    noun: str  # which buyers use
    department: str
    path: str  # of categories
    options: tuple[str, ...]  # their names


COLORS = (
    "black", "blue", "brown", "beige", "green", "grey", "red", "white", "pink", "purple", "orange", "yellow",
    "navy", "gold", "silver", "teal", "olive", "khaki", "coral", "maroon", "turquoise", "violet",
)  # fmt: skip

OPTION_VALUES: dict[str, tuple[str, ...]] = {
    "color": COLORS,
    "size": ("small", "medium", "large", "huge"),
    "style": ("classic", "modern", "vintage", "rustic", "nordic"),
    "scent": ("vanilla", "citrus", "jasmine", "cedar", "ocean"),
    "flavor": ("hazelnut", "strawberry", "ginger", "pecan", "mango"),
}

ATTRIBUTES = (
    "waterproof", "lightweight", "foldable", "washable", "insulated", "handmade", "organic", "durable",
    "breathable", "portable", "adjustable", "stackable", "recycled", "hypoallergenic", "scratchproof", "padded",
    "reversible", "magnetic", "compact", "elastic", "fireproof", "engraved", "quilted", "transparent",
    "windproof", "rustfree", "textured", "polished", "seamless", "ventilated", "unbreakable", "certified",
)  # fmt: skip
"""The attributes that goals ask for."""

BACKGROUND_ATTRIBUTES = (
    "premium", "trendy", "elegant", "everyday", "bestselling", "deluxe", "cozy", "festive", "practical", "iconic",
)  # fmt: skip
"""Attributes that no goal asks for; each background product has one, and so matches no goal in full."""

_KINDS = """
lunch pouch|garden|Home & Kitchen › Kitchen & Dining › Storage|color size
desk lamp|garden|Home & Kitchen › Lighting › Lamps|color style
picnic blanket|garden|Home & Kitchen › Bedding › Blankets|color size
shower curtain|garden|Home & Kitchen › Bath › Curtains|color size
wall clock|garden|Home & Kitchen › Decor › Clocks|color style
throw pillow|garden|Home & Kitchen › Bedding › Pillows|color size
bar stool|garden|Home & Kitchen › Furniture › Stools|color style
coffee table|garden|Home & Kitchen › Furniture › Tables|color style
plant pot|garden|Home & Kitchen › Decor › Pots|color size
serving tray|garden|Home & Kitchen › Kitchen & Dining › Trays|color size
phone holder|electronics|Electronics › Phones › Holders|color style
laptop sleeve|electronics|Electronics › Computers › Sleeves|color size
camera strap|electronics|Electronics › Photo › Straps|color style
headset stand|electronics|Electronics › Audio › Stands|color style
keyboard cover|electronics|Electronics › Computers › Covers|color size
charging dock|electronics|Electronics › Phones › Docks|color style
speaker bracket|electronics|Electronics › Audio › Brackets|color size
tablet case|electronics|Electronics › Computers › Cases|color size
hiking jacket|fashion|Clothing › Men › Jackets|color size
yoga leggings|fashion|Clothing › Women › Leggings|color size
running shorts|fashion|Clothing › Men › Shorts|color size
wool sweater|fashion|Clothing › Women › Sweaters|color size
leather belt|fashion|Clothing › Men › Belts|color size
sun hat|fashion|Clothing › Women › Hats|color size
ankle socks|fashion|Clothing › Men › Socks|color size
rain boots|fashion|Clothing › Women › Boots|color size
travel backpack|fashion|Luggage › Bags › Backpacks|color size
silk scarf|fashion|Clothing › Women › Scarves|color style
hand cream|beauty|Beauty › Skin Care › Creams|scent size
body scrub|beauty|Beauty › Skin Care › Scrubs|scent size
hair brush|beauty|Beauty › Hair Care › Brushes|color size
makeup mirror|beauty|Beauty › Tools › Mirrors|color style
bath sponge|beauty|Beauty › Bath › Sponges|color size
nail file|beauty|Beauty › Nails › Files|color style
perfume bottle|beauty|Beauty › Fragrance › Bottles|scent style
shaving kit|beauty|Beauty › Shaving › Kits|scent style
tea tin|grocery|Grocery › Beverages › Tea|flavor size
granola box|grocery|Grocery › Breakfast › Granola|flavor size
cookie jar|grocery|Grocery › Snacks › Cookies|flavor size
spice rack|grocery|Grocery › Spices › Racks|style size
"""

KINDS = tuple(
    ProductKind(noun, department, path, tuple(options.split()))
    for noun, department, path, options in (line.split("|") for line in _KINDS.strip().splitlines())
)

BRANDS = tuple(
    a + b
    for a, b in product(("Vel", "Kor", "Mir", "Tas", "Lun", "Bex", "Dov", "Pel"), ("ora", "ix", "eno", "una"))
)

FILLERS = (
    "made", "careful", "people", "home", "gift", "family", "friends", "season", "quality", "design", "daily",
    "simple", "looks", "great", "comes", "box", "shipped", "quickly", "years", "love", "works", "room", "trip",
    "holiday", "office", "weekend", "morning", "evening", "summer", "winter",
)  # fmt: skip
"""Words of descriptions. No goal uses them, so they change the rank of a document by its length alone."""


_FEW, _MANY = 110, 1100
"""Words that the ids of a small and of a large shop are made of; a small one has 110² products at most."""

_FOUR_LETTERS = ["".join(w) for w in product("BDFGHJKLMNPRSTVZ", "AEIOU", "BDFGKLMNPRSTVZ", "AEIO")]

SYLLABLES = tuple(_FOUR_LETTERS[i * 1979 % len(_FOUR_LETTERS)] for i in range(2 * _MANY))
"""Words for product ids, spread evenly over all of four letters."""

ID_WORDS = SYLLABLES[:_FEW], SYLLABLES[_MANY : _MANY + _FEW]
"""The first and the second words of the ids in a small shop."""


def asin(i: int, n: int) -> str:
    """Return the i-th of `n` product ids: `B0`, a word of one list, and a word of another.

    A small model copies ids word by word. Two ids on a page should therefore differ in their first word, and since
    a word that is seen often is copied better, a small shop uses few words.

    Raises:
        ValueError: there is no i-th of `n` ids.
    """
    m = _FEW if n <= _FEW**2 else _MANY
    if not 0 <= i < n <= m * m:
        raise ValueError(f"product ids run from 0 to {_MANY**2 - 1}, got the {i}-th of {n}")
    return f"B0{SYLLABLES[i % m]}{SYLLABLES[_MANY + i // m]}"
