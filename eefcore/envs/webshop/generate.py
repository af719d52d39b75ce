"""Generated shops in the official file format, at any size, in which navigation is needed for a known share of tasks.

    task kind    what solves it
    direct       the right product is on page one, and what looks right is right
    next         the right product is on page two: Next once
    far          on page three: Next twice
    back         a product before the right one looks right until its options are seen: Back once
    back_next    such a product on page one, the right one on page two: Back and Next

Each task owns a family of products that match its query in full; they are ranked among themselves by the
length of their documents, which BM25 prefers short. All other products match fewer of its words.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations
from math import gcd
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import msgspec

from eefcore.envs.webshop import words
from eefcore.envs.webshop.words import (
    ATTRIBUTES,
    BACKGROUND_ATTRIBUTES,
    BRANDS,
    FILLERS,
    KINDS,
    OPTION_VALUES,
    SYLLABLES,
    Kind,
    asin,
)
from eefcore.errors import DataError
from eefcore.storage.hashing import default_cache

SHARES = {"direct": 0.42, "next": 0.22, "far": 0.08, "back": 0.18, "back_next": 0.10}
"""How often each kind of task is drawn."""

FILES = ("items_shuffle.json", "items_ins_v2.json", "items_human_ins.json", "tasks.json")

_PHRASES = (
    "i am looking for a {a} {b} {noun}{options}",
    "i need a {noun} that is {a} and {b}{options}",
    "find me a {a} and {b} {noun}{options}",
    "i want to buy a {noun}, {a} and {b}{options}",
)


class Written(NamedTuple):
    """What was generated: how many products and tasks, and how many tasks of each kind."""

    products: int
    tasks: int
    kinds: dict[str, int]


class _Wish(NamedTuple):
    """What one task asks for: the kind of product, two attributes, options, and roughly what it costs."""

    kind: Kind
    attributes: tuple[str, str]
    options: dict[str, str]
    price: float


def write_catalogue(
    folder: Path, *, products: int, tasks: int, seed: int = 0, shares: dict[str, float] | None = None
) -> Written:
    """Write `items_shuffle.json`, `items_ins_v2.json`, `items_human_ins.json` and `tasks.json` into `folder`.

    The first three are the official format, one instruction per task. `tasks.json` says for each target
    product what kind of task it is: for analysis; nothing in the package plays by it.

    Args:
        products: at least 10 per task; what is over is background, which matches no query in full.
        shares: probabilities of the kinds, `SHARES` by default.
    """
    shares = shares or SHARES
    room = len(KINDS) * len(ATTRIBUTES) * (len(ATTRIBUTES) - 1) // 2
    if not 1 <= tasks <= room:
        raise DataError(f"{tasks} tasks: there are words for 1 to {room}; ask for fewer")
    if products < 10 * tasks:
        raise DataError(
            f"{products} products for {tasks} tasks: each needs up to 10; ask for {10 * tasks} or more"
        )
    if products > len(SYLLABLES) ** 2 // 4:
        raise DataError(f"{products} products: there are ids for {len(SYLLABLES) ** 2 // 4}; ask for fewer")
    rng = random.Random(f"webshop {seed}")
    wishes = _wishes(rng, tasks)
    kinds = rng.choices(list(shares), list(shares.values()), k=tasks)
    ids = _shuffled_ids(rng, products)

    rows: list[dict] = []
    attributes: dict[str, dict] = {}
    human: dict[str, list[dict]] = {}
    labels: dict[str, str] = {}
    for wish, kind in zip(wishes, kinds, strict=True):
        for place, role in enumerate(_line_up(rng, kind)):
            product, id = _product(rng, wish, role, place), next(ids)
            rows.append({"asin": id, **product.row})
            attributes[id] = {"attributes": list(product.attributes)}
            if role == "target":
                labels[id] = kind
                human[id] = [_instruction(rng, id, wish)]
    folder.mkdir(parents=True, exist_ok=True)
    rng.shuffle(rows)
    count = len(rows)
    with open(folder / FILES[0], "wb") as items, open(folder / FILES[1], "wb") as ins:
        items.write(b"[\n" + b",\n".join(map(msgspec.json.encode, rows)))
        ins.write(b"{\n" + b",\n".join(_pair(k, v) for k, v in attributes.items()))
        for id, row, own in _background(rng, ids, products - count):
            items.write(b",\n" + msgspec.json.encode({"asin": id, **row}))
            ins.write(b",\n" + _pair(id, {"attributes": own}))
            count += 1
        items.write(b"\n]\n")
        ins.write(b"\n}\n")
    (folder / FILES[2]).write_bytes(msgspec.json.format(msgspec.json.encode(human), indent=1))
    (folder / FILES[3]).write_bytes(msgspec.json.format(msgspec.json.encode(labels), indent=1))
    return Written(count, tasks, {k: kinds.count(k) for k in shares})


def generated_shop(tasks: int, seed: int) -> Path:
    """Return the folder of the generated shop of that many tasks, ten products each; it is written once, into the cache.

    The folder's name holds a hash of the generator's code, so that another generator writes another shop.
    """
    shops = default_cache() / "shops"
    folder = shops / f"{tasks}-tasks-seed-{seed}-{_code_hash(sys.modules[__name__], words)}"
    if not folder.exists():
        shops.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=shops) as temporary:
            written = Path(temporary) / folder.name
            write_catalogue(written, products=10 * tasks, tasks=tasks, seed=seed)
            with suppress(OSError):  # another process was first
                written.rename(folder)
    return folder


def _code_hash(*modules: ModuleType) -> str:
    """Eight hex digits of the modules' code, the same whatever their comments and docstrings say."""
    trees = [ast.parse(inspect.getsource(module)) for module in modules]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [s for s in node.body if not _is_docstring(s)]
    return hashlib.sha256("\n".join(map(ast.dump, trees)).encode()).hexdigest()[:8]


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _wishes(rng: random.Random, tasks: int) -> list[_Wish]:
    """Tasks that share no (kind, attribute pair), so that no family matches another's query in full."""
    room = [(kind, pair) for kind in KINDS for pair in combinations(ATTRIBUTES, 2)]
    out = []
    for kind, pair in rng.sample(room, tasks):
        a, b = rng.sample(pair, 2)
        wanted = sorted(rng.sample(kind.options, rng.choice((1, 1, 2))), key=kind.options.index)
        options = {name: rng.choice(OPTION_VALUES[name]) for name in wanted}
        out.append(_Wish(kind, (a, b), options, rng.randint(11, 55) + rng.choice((0.0, 0.5))))
    return out


def _line_up(rng: random.Random, kind: str) -> list[str]:
    """The roles of a family in the order that search will show them.

    `dear` costs too much; `other` says in its title that it is of another colour, size, …; `trap` is one too,
    and only its options say so. None can win, and all match the query in full.
    """

    def misfits(n: int) -> list[str]:
        return rng.choices(("dear", "other"), (0.6, 0.4), k=n)

    if kind == "direct":
        head = misfits(rng.randint(0, 2))
    elif kind == "next":
        head = misfits(rng.randint(3, 5))
    elif kind == "far":
        head = misfits(rng.randint(6, 7))
    elif kind == "back":
        head = misfits(rng.randint(0, 1))
        head.insert(rng.randint(0, len(head)), "trap")
    elif kind == "back_next":
        head = misfits(rng.randint(2, 3))
        head.insert(rng.randint(0, 2), "trap")
    else:
        raise DataError(f"no kind of task {kind!r}; there are {', '.join(SHARES)}")
    return [*head, "target", *misfits(rng.randint(0, 2))]


class _Made(NamedTuple):
    row: dict
    attributes: tuple[str, ...]


def _product(rng: random.Random, wish: _Wish, role: str, place: int) -> _Made:
    kind, attributes, price = wish.kind, wish.attributes, wish.price
    if role == "dear":  # above every cap that can be drawn for the target's price
        price += rng.randint(45, 80)
    elif role != "target":
        price = max(9.0, price - rng.randint(0, 8))
    options = {name: _values(rng, name, wish.options.get(name), lacking=False) for name in kind.options}
    title = [rng.choice(BRANDS), *rng.sample(attributes, 2), kind.noun]
    if role in ("other", "trap"):
        name = rng.choice(list(wish.options))
        options[name] = _values(rng, name, wish.options[name], lacking=True)
        if role == "other":
            title.append(options.pop(name)[0])
    # BM25 ranks a family by the length of its documents alone, so options that are short are made up for.
    words = 14 + 2 * place - len(title) - sum(map(len, options.values())) - len(options)
    description = " ".join(rng.sample(FILLERS, words))
    return _Made(_row(kind, " ".join(title), description, price, options), attributes)


def _values(rng: random.Random, name: str, wanted: str | None, *, lacking: bool) -> list[str]:
    """Three or four values of an option; `wanted` is among them, or is what they lack."""
    others = [v for v in OPTION_VALUES[name] if v != wanted]
    n = min(rng.choice((3, 4)), len(others))
    if wanted is None or lacking:
        return rng.sample(others, n)
    values = [wanted, *rng.sample(others, n - 1)]
    rng.shuffle(values)
    return values


def _row(kind: Kind, title: str, description: str, price: float, options: dict[str, list[str]]) -> dict:
    return {
        "name": title,
        "full_description": description,
        "pricing": f"${price}",
        "images": [""],
        "product_category": f"{kind.path} › {kind.noun.title()}",
        "average_rating": "",
        "small_description": ["Comes in a plain box"],
        "customization_options": {
            name: [
                {"value": value, "asin": "", "price_string": "", "price": 0, "image": None}
                for value in values
            ]
            for name, values in options.items()
        },
        "category": kind.department,
        "query": kind.noun,
        "page": 1,
    }


def _background(rng: random.Random, ids: Iterator[str], n: int) -> Iterator[tuple[str, dict, list[str]]]:
    for _ in range(n):
        kind, asked, own = rng.choice(KINDS), rng.choice(ATTRIBUTES), rng.choice(BACKGROUND_ATTRIBUTES)
        title = f"{rng.choice(BRANDS)} {own} {asked} {kind.noun}"
        options = {name: _values(rng, name, None, lacking=False) for name in kind.options}
        description = " ".join(rng.sample(FILLERS, rng.randint(10, 20)))
        price = rng.randint(9, 140) + rng.choice((0.0, 0.5))
        yield next(ids), _row(kind, title, description, price, options), [own, asked]


def _instruction(rng: random.Random, id: str, wish: _Wish) -> dict:
    """One human-style instruction; the loader adds the price clause."""
    options = "".join(f", {name} {value}" for name, value in wish.options.items())
    a, b = wish.attributes
    text = rng.choice(_PHRASES).format(a=a, b=b, noun=wish.kind.noun, options=options)
    return {
        "asin": id,
        "instruction": text + ".",
        "attributes": list(wish.attributes),
        "options": [f"{name}: {value}" for name, value in wish.options.items()],
        "instruction_attributes": list(wish.attributes),
        "instruction_options": list(wish.options.values()),
        "assignment_id": f"A{id}",
        "worker_id": "generated",
    }


def _shuffled_ids(rng: random.Random, n: int) -> Iterator[str]:
    """Ids in a random order without a list of all of them: an affine walk over 0 … n-1."""
    step = rng.randrange(1, n) if n > 1 else 1
    while n > 1 and gcd(step, n) != 1:
        step = rng.randrange(1, n)
    at = rng.randrange(n)
    for _ in range(n):
        yield asin(at, n)
        at = (at + step) % n


def _pair(key: str, value: dict) -> bytes:
    return msgspec.json.encode(key) + b": " + msgspec.json.encode(value)
