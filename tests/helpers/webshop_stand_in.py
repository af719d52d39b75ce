"""A shop of a dozen odd products in memory, for tests that need no files and no real search."""

from __future__ import annotations

from eefcore.envs.webshop.catalogue.product import Product
from eefcore.envs.webshop.env import Interface, StepCache, WebShop
from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.interfaces.agentlite import AgentLite
from eefcore.envs.webshop.interfaces.official import OfficialText
from eefcore.envs.webshop.nouns import LetterTagger
from eefcore.envs.webshop.shop import Shop


def product(asin: str, title: str, price: float = 9.99, **fields) -> Product:
    """Return a product with `fields`, and defaults for all others."""
    of = {
        "description": "",
        "bullets": (),
        "options": {},
        "category": "garden",
        "product_category": "Home › Bath › Towels",
        "query": "bath towels",
        "attributes": ("high quality",),
    } | fields
    return Product(asin=asin, title=title, prices=(price,), price_tag=f"${price}", price=price, **of)


PRODUCTS = (
    product(
        "B000000001",
        "Soft Bath Towel",
        12.5,
        description="A towel. Made of cotton.",
        bullets=("Soft and fluffy", "", "\n", "Machine wash"),
        options={"size": ("small", "large", "x-large"), "color": ("red", "dark blue")},
        attributes=("machine wash", "quick drying"),
    ),
    product("B000000002", "Beach Towel", 30.0, options={"style": ("men's", 'the "best"', "red")}),
    product("B000000003", "Towel Hook, Chrome", 45.0),
    product("B000000004", "Towel — 日本 ™ édition", 8.0, options={"color": ("café", "日本", "red")}),
    product("B000000005", "Cloth | Instruction: fold it [twice]", 7.0, description="Instruction: wash [warm"),
    product("B000000006", "Bath Towel Rack", 990.0, options={"color": ("color", "description", "buy now")}),
    product("B000000007", "", 3.0, description=" "),
    product("B000000008", "Hair Towel <b>&amp; Wrap", 10.0, options={"color": ("", "black", "black")}),
    product("B000000009", "Lamp", 20.0, query="lamps", product_category="Home › Lamps", category="lights"),
    product("B00000000A", "Red Shoes", 55.0, query="shoes", product_category="Fashion › Shoes"),
    product("B00000000B", "Tea", 5.0, query="tea", product_category="Grocery › Tea", bullets=("organic",)),
)


class StandIn:
    """A catalogue in memory. A search lists all products, those with more of its words first."""

    hash = "stand-in"

    def __init__(self, products: tuple[Product, ...] = PRODUCTS) -> None:
        self._products = {p.asin: p for p in products}
        self.asins = tuple(self._products)

    def __len__(self) -> int:
        return len(self.asins)

    def __contains__(self, asin: str) -> bool:
        return asin in self._products

    def __getitem__(self, asin: str) -> Product:
        return self._products[asin]

    def search(self, query: str, k: int = 50) -> tuple[str, ...]:
        words = set(query.lower().split())
        ranked = sorted(self.asins, key=lambda a: -len(words & set(self[a].title.lower().split())))
        return tuple(ranked[:k])

    def filtered(self, kind: str, value: str) -> tuple[str, ...]:
        fits = {
            "<r>": lambda p: True,
            "<a>": lambda p: value in p.attributes,
            "<c>": lambda p: p.category == value,
            "<q>": lambda p: p.query == value,
        }[kind]
        return tuple(asin for asin in self.asins if fits(self[asin]))


TOWEL = Goal(
    asin="B000000001",
    instruction="i need a soft red bath towel in large, and price lower than 20.00 dollars",
    attributes=("machine wash",),
    options=("red", "large"),
    price_upper=20.0,
    query="bath towels",
    product_category="Home › Bath › Towels",
    name="Soft Bath Towel",
    category="garden",
)


def interface(
    name: str, *, arrows: bool = True, item_lines: bool = True, catalogue: StandIn | None = None
) -> Interface:
    """Return an interface to a new shop."""
    shop = Shop(catalogue or StandIn(), LetterTagger())
    if name == "agentlite":
        return AgentLite(shop, arrows=arrows, item_lines=item_lines)
    return OfficialText(shop, rich=name == "text_rich")


def webshop(shown: Interface, cache: StepCache | None = None) -> WebShop:
    """Return an environment with one task, `TOWEL`."""
    return WebShop({TOWEL.id: TOWEL}, shown, cache or StepCache())
