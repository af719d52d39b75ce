"""The vocabulary of generated shops: what there is, what it can be like, and how products are named.

Words are chosen so that the official scoring (fuzzy above 85, colour normalisation) tells them apart:
no size is part of another, no colour word holds a second one, no attribute is a variant of another.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of product: the noun that buyers use, its department, its path, the options it comes with."""

    noun: str
    department: str
    path: str
    options: tuple[str, ...]


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
"""What goals ask for."""

BACKGROUND_ATTRIBUTES = (
    "premium", "trendy", "elegant", "everyday", "bestselling", "deluxe", "cozy", "festive", "practical", "iconic",
)  # fmt: skip
"""What no goal asks for; background products carry one, so that they match no goal in full."""

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
    Kind(noun, department, path, tuple(options.split()))
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
"""Words of descriptions. No goal uses them, so they lengthen a document and do nothing else to its rank."""


_FEW, _MANY = 110, 1100
"""Words that a small shop's ids are made of, and a large one's; 110² products are small."""


def _syllables() -> tuple[str, ...]:
    """Four-letter words for product ids, spread over all there are."""
    words = ["".join(w) for w in product("BDFGHJKLMNPRSTVZ", "AEIOU", "BDFGKLMNPRSTVZ", "AEIO")]
    spread = [words[i * 1979 % len(words)] for i in range(2 * _MANY)]
    return tuple(spread)


SYLLABLES = _syllables()

ID_WORDS = SYLLABLES[:_FEW], SYLLABLES[_MANY : _MANY + _FEW]
"""The first and the second words of a small shop's ids."""


def asin(i: int, n: int) -> str:
    """The i-th of `n` product ids: `B0`, a word of one list, and a word of another.

    A small model copies ids word by word: two ids on a page should differ in their first word, and a
    word that is met often is copied sooner, so a small shop uses few.
    """
    m = _FEW if n <= _FEW**2 else _MANY
    if not 0 <= i < n <= m * m:
        raise ValueError(f"product ids run from 0 to {_MANY**2 - 1}, got the {i}-th of {n}")
    return f"B0{SYLLABLES[i % m]}{SYLLABLES[_MANY + i // m]}"
