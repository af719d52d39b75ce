"""Generate shops in the official file format, of any size, in which a known share of tasks needs navigation.

    kind of task    what solves it
    direct          the right product is on page one, and no other looks right
    next            the right product is on page two: Next once
    far             the right product is on page three: Next twice
    back            a product before the right one looks right until its options are seen: Back once
    back_next       such a product on page one, the right one on page two: Back, then Next
    next_back       such a product on page two, the right one behind it: Next, then Back, and Next again

The last two need both skills at once; `two_skills` sets their share. Without it one task in ten is `back_next`, as in all
shops before there was a choice, and none is `next_back`.

Each task has a family of products that match its query in full. BM25 ranks them by the length of their documents,
the shortest first. All other products match fewer words of the query.
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
from typing import Any, NamedTuple

import msgspec

from eefcore.envs.webshop import words
from eefcore.errors import DataError
from eefcore.storage.hashing import cache_folder

SHARES = {"direct": 0.42, "next": 0.22, "far": 0.08, "back": 0.18, "back_next": 0.10, "next_back": 0.0}
"""The probability of each kind of task."""

TWO_SKILLS = ("back_next", "next_back")
"""The kinds of task whose solution needs Next and Back."""

_MISFITS = {
    "direct": (0, 2),
    "next": (3, 5),
    "far": (6, 7),
    "back": (0, 1),
    "back_next": (2, 3),
    "next_back": (3, 4),
}
"""The fewest and the most products that can't win and come before the right one, by kind of task."""

_TRAP_PLACES = {"back": (0, 2), "back_next": (0, 2), "next_back": (3, 4)}
"""The first and the last place of the product that looks right, in a list of three a page, by kind of task."""

FILES = ("items_shuffle.json", "items_ins_v2.json", "items_human_ins.json", "tasks.json")

_Json = dict[str, Any]  # an object of the official files

_PHRASES = (
    "i am looking for a {a} {b} {noun}{options}",
    "i need a {noun} that is {a} and {b}{options}",
    "find me a {a} and {b} {noun}{options}",
    "i want to buy a {noun}, {a} and {b}{options}",
)


class ShopSummary(NamedTuple):
    """The size of a generated shop: products, tasks, and tasks of each kind."""

    products: int
    tasks: int
    kinds: dict[str, int]


class _Request(NamedTuple):
    """What one task asks for: the kind of product, two attributes, options, and an approximate price."""

    kind: words.ProductKind
    attributes: tuple[str, str]
    options: dict[str, str]
    price: float


def write_catalogue(
    folder: Path, *, products: int, tasks: int, seed: int = 0, shares: dict[str, float] | None = None
) -> ShopSummary:
    """Write `FILES` into `folder`: three in the official format, with one instruction per task, and `tasks.json`.

    `tasks.json` maps each target product to its kind of task, for analysis; no environment and no method reads it.

    Args:
        products: at least 10 per task; the others are background products, which match no query in full.
        shares: probabilities of the kinds, `SHARES` by default.

    Raises:
        DataError: too many tasks or products for the vocabulary, or too few products for the tasks.
    """
    shares = shares or SHARES
    room = len(words.KINDS) * len(words.ATTRIBUTES) * (len(words.ATTRIBUTES) - 1) // 2
    if not 1 <= tasks <= room:
        raise DataError(f"{tasks} tasks: there are words for 1 to {room}; ask for fewer")
    if products < 10 * tasks:
        raise DataError(
            f"{products} products for {tasks} tasks: each needs up to 10; ask for {10 * tasks} or more"
        )
    if products > len(words.SYLLABLES) ** 2 // 4:
        raise DataError(
            f"{products} products: there are ids for {len(words.SYLLABLES) ** 2 // 4}; ask for fewer"
        )
    rng = random.Random(f"webshop {seed}")
    requests = _requests(rng, tasks)
    kinds = rng.choices(list(shares), list(shares.values()), k=tasks)
    ids = _shuffled_ids(rng, products)

    rows: list[_Json] = []
    attributes: dict[str, _Json] = {}
    human: dict[str, list[_Json]] = {}
    labels: dict[str, str] = {}
    for request, kind in zip(requests, kinds, strict=True):
        for rank, role in enumerate(_family_roles(rng, kind)):
            product, id = _product(rng, request, role, rank), next(ids)
            rows.append({"asin": id, **product})
            attributes[id] = {"attributes": list(request.attributes)}
            if role == "target":
                labels[id] = kind
                human[id] = [_instruction(rng, id, request)]
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
    return ShopSummary(count, tasks, {k: kinds.count(k) for k in shares})


def shares_of_kinds(two_skills: float | None) -> dict[str, float]:
    """Return the probabilities of the kinds if those that need Next and Back have the share `two_skills` together.

    The two kinds get half of it each, and the others keep their proportions; None is `SHARES`.
    """
    if two_skills is None:
        return SHARES
    others = {kind: share for kind, share in SHARES.items() if kind not in TWO_SKILLS}
    rest = (1.0 - two_skills) / sum(others.values())
    return {k: share * rest for k, share in others.items()} | dict.fromkeys(TWO_SKILLS, two_skills / 2)


def generated_shop(tasks: int, seed: int, two_skills: float | None = None) -> Path:
    """Return the folder of the generated shop of that many tasks, ten products each; it is written once, into the cache.

    `two_skills` is the share of the tasks that need Next and Back (`shares_of_kinds`). The folder's name holds a hash of the generator's code, so that another generator writes another shop.
    """
    shops = cache_folder() / "shops"
    kinds = "" if two_skills is None else f"-two-skills-{two_skills:g}"
    folder = shops / f"{tasks}-tasks-seed-{seed}{kinds}-{_code_hash(sys.modules[__name__], words)}"
    if not folder.exists():
        shops.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=shops) as temporary:
            written = Path(temporary) / folder.name
            shares = shares_of_kinds(two_skills)
            write_catalogue(written, products=10 * tasks, tasks=tasks, seed=seed, shares=shares)
            with suppress(OSError):  # another process was first
                written.rename(folder)
    return folder


def _code_hash(*modules: ModuleType) -> str:
    """Eight hex digits of the modules' code, the same whatever their comments and docstrings say."""
    trees = [ast.parse(inspect.getsource(module)) for module in modules]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [
                s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
            ]
    return hashlib.sha256("\n".join(map(ast.dump, trees)).encode()).hexdigest()[:8]


def _requests(rng: random.Random, tasks: int) -> list[_Request]:
    """Draw requests of which no two have kind and attributes in common, so that no family matches another's query in full."""
    room = [(kind, pair) for kind in words.KINDS for pair in combinations(words.ATTRIBUTES, 2)]
    out = []
    for kind, pair in rng.sample(room, tasks):
        a, b = rng.sample(pair, 2)
        names = sorted(rng.sample(kind.options, rng.choice((1, 1, 2))), key=kind.options.index)
        options = {name: rng.choice(words.OPTION_VALUES[name]) for name in names}
        out.append(_Request(kind, (a, b), options, rng.randint(11, 55) + rng.choice((0.0, 0.5))))
    return out


def _family_roles(rng: random.Random, kind: str) -> list[str]:
    """Draw which product of a task is the target and which are decoys, in the order in which a search shows them.

    `dear` costs too much; `other` has another colour, size, … and says so in its title; `trap` has one too,
    and only its options show it. None of them can win, and all match the query in full.
    """
    if kind not in SHARES:
        raise DataError(f"no kind of task {kind!r}; there are {', '.join(SHARES)}")

    def misfits(fewest: int, most: int) -> list[str]:
        return rng.choices(("dear", "other"), (0.6, 0.4), k=rng.randint(fewest, most))

    head = misfits(*_MISFITS[kind])
    if kind in _TRAP_PLACES:
        first, last = _TRAP_PLACES[kind]
        head.insert(rng.randint(first, min(len(head), last)), "trap")
    return [*head, "target", *misfits(0, 2)]


def _product(rng: random.Random, request: _Request, role: str, rank: int) -> _Json:
    """Return a product of the official file, without its id."""
    kind, price = request.kind, request.price
    if role == "dear":  # above every cap that can be drawn for the target's price
        price += rng.randint(45, 80)
    elif role != "target":
        price = max(9.0, price - rng.randint(0, 8))
    options = {name: _values(rng, name, request.options.get(name)) for name in kind.options}
    title = [rng.choice(words.BRANDS), *rng.sample(request.attributes, 2), kind.noun]
    if role in ("other", "trap"):
        name = rng.choice(list(request.options))
        options[name] = _values(rng, name, request.options[name], lacking=True)
        if role == "other":
            title.append(options.pop(name)[0])
    # BM25 ranks a family by the length of its documents alone, so fillers make up for short options.
    fillers = 14 + 2 * rank - len(title) - sum(map(len, options.values())) - len(options)
    description = " ".join(rng.sample(words.FILLERS, fillers))
    return _row(kind, " ".join(title), description, price, options)


def _values(rng: random.Random, name: str, wanted: str | None, *, lacking: bool = False) -> list[str]:
    """Draw three or four values of an option, with or without the value `wanted` by the task."""
    others = [v for v in words.OPTION_VALUES[name] if v != wanted]
    n = min(rng.choice((3, 4)), len(others))
    if wanted is None or lacking:
        return rng.sample(others, n)
    values = [wanted, *rng.sample(others, n - 1)]
    rng.shuffle(values)
    return values


def _row(
    kind: words.ProductKind, title: str, description: str, price: float, options: dict[str, list[str]]
) -> _Json:
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


def _background(rng: random.Random, ids: Iterator[str], n: int) -> Iterator[tuple[str, _Json, list[str]]]:
    for _ in range(n):
        kind, attribute, own = (
            rng.choice(words.KINDS),
            rng.choice(words.ATTRIBUTES),
            rng.choice(words.BACKGROUND_ATTRIBUTES),
        )
        title = f"{rng.choice(words.BRANDS)} {own} {attribute} {kind.noun}"
        options = {name: _values(rng, name, None) for name in kind.options}
        description = " ".join(rng.sample(words.FILLERS, rng.randint(10, 20)))
        price = rng.randint(9, 140) + rng.choice((0.0, 0.5))
        yield next(ids), _row(kind, title, description, price, options), [own, attribute]


def _instruction(rng: random.Random, id: str, request: _Request) -> _Json:
    """Return an entry of the file of human instructions; the loader adds the price clause."""
    options = "".join(f", {name} {value}" for name, value in request.options.items())
    a, b = request.attributes
    text = rng.choice(_PHRASES).format(a=a, b=b, noun=request.kind.noun, options=options)
    return {
        "asin": id,
        "instruction": text + ".",
        "attributes": list(request.attributes),
        "options": [f"{name}: {value}" for name, value in request.options.items()],
        "instruction_attributes": list(request.attributes),
        "instruction_options": list(request.options.values()),
        "assignment_id": f"A{id}",
        "worker_id": "generated",
    }


def _shuffled_ids(rng: random.Random, n: int) -> Iterator[str]:
    """Yield ids in a random order without a list of all of them: an affine walk over 0 … n-1."""
    step = rng.randrange(1, n) if n > 1 else 1
    while n > 1 and gcd(step, n) != 1:
        step = rng.randrange(1, n)
    at = rng.randrange(n)
    for _ in range(n):
        yield words.asin(at, n)
        at = (at + step) % n


def _pair(key: str, value: _Json) -> bytes:
    return msgspec.json.encode(key) + b": " + msgspec.json.encode(value)
