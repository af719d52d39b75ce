"""The goals of WebShop: what users ask for, and at which price (engine/goal.py:22-127 of princeton-nlp/WebShop).

The official engine draws price caps from an unseeded stream, so that public logs of one goal show 40, 50 and 60
dollars. Here the cap of a goal is drawn from a stream of its own, seeded by the seed and by the goal's product and
instruction. The order of the goals is the official one, shuffled with seed 233, so that "goal 17" is the same goal as
elsewhere.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from eefcore.envs.panels import find_task
from eefcore.envs.webshop.catalogue.product import Product, SearchableCatalogue
from eefcore.errors import UNDECODABLE, DataError, UnknownTask

NO_CAP = 1_000_000.0
"""The price cap of a goal whose text names none."""

CAP_MARK = "@"
"""What stands between a task's id and another price cap than its own: `0a1b…@40`."""

_CLAUSE = re.compile(r", and price lower than (\d+(?:\.\d+)?) dollars")
_PRICES = tuple(10.0 * i for i in range(1, 100))
_SHUFFLE_SEED = 233


class Goal(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What a user asks for."""

    asin: str  # the product the goal was written for; another one may do as well
    instruction: str  # the text, price clause included
    attributes: tuple[str, ...]  # what the product must have; at least one
    options: tuple[str, ...] = ()  # the values to choose
    option_names: tuple[str, ...] = ()  # the name of each option, for synthetic goals
    price_upper: float = NO_CAP  # the highest price allowed
    query: str  # of the product, like the next three
    product_category: str
    name: str
    category: str
    weight: float = 1.0  # how often the official engine draws it

    @cached_property
    def id(self) -> str:
        """The task id: twelve hex digits of the goal's content but for its weight."""
        content = msgspec.json.encode(
            [self.asin, self.instruction, self.attributes, self.options, self.option_names, self.price_upper]
        )
        return hashlib.sha256(content).hexdigest()[:12]

    @cached_property
    def compared_options(self) -> tuple[str | tuple[str, str], ...]:
        """The options that the official reward compares: values of human goals, (name, value) pairs of synthetic ones."""
        return tuple(zip(self.option_names, self.options, strict=True)) if self.option_names else self.options


def named_cap(text: str) -> float | None:
    """Return the price cap that a text names; None if it names none."""
    clause = _CLAUSE.search(text)
    return float(clause[1]) if clause else None


def find_goal(goals: Mapping[str, Goal], task_id: str) -> Goal:
    """Return the goal of a task, under the price cap that its id names after `CAP_MARK`, if it names one.

    Raises:
        UnknownTask: no goal has that id, or the cap is no price.
    """
    own, mark, cap = task_id.partition(CAP_MARK)
    goal = find_task(goals, own)
    if not mark:
        return goal
    if not re.fullmatch(r"\d+(\.\d+)?", cap):
        raise UnknownTask(
            f"no task {task_id!r}: what follows {CAP_MARK} is a price cap in dollars, got {cap!r}"
        )
    wish = _CLAUSE.sub("", goal.instruction)
    return msgspec.structs.replace(
        goal, instruction=f"{wish}{_price_clause(float(cap))}", price_upper=float(cap)
    )


def _price_clause(cap: float) -> str:
    return f", and price lower than {cap:.2f} dollars"


class _Human(msgspec.Struct):
    """One entry of `items_human_ins*.json`."""

    instruction: str
    instruction_attributes: tuple[str, ...]
    instruction_options: tuple[str, ...]


class _Synthetic(msgspec.Struct):
    """One entry of `items_ins_v2*.json`."""

    instruction: str | None = None
    instruction_attributes: tuple[str, ...] | None = None


def human_goals(catalogue: SearchableCatalogue, file: Path, *, seed: int = 233) -> list[Goal]:
    """Read one goal per human instruction that has attributes, in the official shuffled order.

    Instructions for products that the catalogue does not have are left out, as officially.
    """
    by_asin = _decode(file, dict[str, list[_Human]])
    goals = []
    for asin in (a for a in catalogue.asins if a in by_asin):
        product = catalogue[asin]
        for entry in (e for e in by_asin[asin] if e.instruction_attributes):
            cap, clause = price_cap(product.price, f"{seed}\n{asin}\n{entry.instruction}")
            goals.append(
                Goal(
                    instruction=entry.instruction.strip(".") + clause,
                    attributes=entry.instruction_attributes,
                    options=entry.instruction_options,
                    price_upper=cap,
                    **_about(product),
                )
            )
    return shuffled(goals)


def count_human_goals(file: Path) -> int:
    """Return the largest number of goals that `human_goals` can read; goals without a product in the catalogue are left out."""
    by_asin = _decode(file, dict[str, list[_Human]])
    return sum(bool(entry.instruction_attributes) for entries in by_asin.values() for entry in entries)


def synthetic_goals(catalogue: SearchableCatalogue, file: Path, *, seed: int = 233) -> list[Goal]:
    """Make one goal per product with an instruction and combination of its options, in the official shuffled order.

    A goal weighs the mean over its attributes of 1 / (number of goals with that attribute).
    """
    by_asin = _decode(file, dict[str, _Synthetic])
    goals = []
    for asin in (a for a in catalogue.asins if a in by_asin):
        instruction, attributes = by_asin[asin].instruction, by_asin[asin].instruction_attributes
        if instruction is None:
            continue
        if not attributes:
            raise DataError(
                f"{file.name}: {asin} has an instruction without attributes, which no purchase could "
                "satisfy; give it instruction_attributes or drop the instruction"
            )
        product = catalogue[asin]
        cap, clause = price_cap(product.price, f"{seed}\n{asin}\n{instruction}")
        names = tuple(sorted(product.options))
        for values in itertools.product(*(product.options[name] for name in names)):
            wishes = ", and ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
            goals.append(
                Goal(
                    instruction=f"{instruction}{' with ' + wishes if wishes else ''}{clause}",
                    attributes=attributes,
                    options=values,
                    option_names=names,
                    price_upper=cap,
                    **_about(product),
                )
            )
    return shuffled(_with_weights(goals))


def price_cap(price: float, key: str) -> tuple[float, str]:
    """Draw two of the first four of 10, 20, …, 990 above `price`, and return the larger with its clause of the text.

    Without two there is no cap. `key` names the goal, and seeds the draw. The smallest of the four can never be chosen, as officially.
    """
    above = [p for p in _PRICES if p > price][:4]
    if len(above) < 2:
        return NO_CAP, ""
    cap = max(random.Random(key).sample(above, 2))
    return cap, _price_clause(cap)


def shuffled(goals: Sequence[Goal]) -> list[Goal]:
    """Return the goals in the official order: shuffled by a stream seeded with 233, after all goals are made."""
    goals = list(goals)
    random.Random(_SHUFFLE_SEED).shuffle(goals)
    return goals


def _about(product: Product) -> dict[str, Any]:
    """Return the fields of a goal that describe its product."""
    return {
        "asin": product.asin,
        "query": product.query,
        "product_category": product.product_category,
        "name": product.title,
        "category": product.category,
    }


def _with_weights(goals: list[Goal]) -> list[Goal]:
    with_attribute = Counter(attribute for goal in goals for attribute in goal.attributes)
    return [
        msgspec.structs.replace(
            goal, weight=sum(1.0 / with_attribute[a] for a in goal.attributes) / len(goal.attributes)
        )
        for goal in goals
    ]


def _decode(file: Path, kind: Any) -> Any:
    """Return what the file holds; raise DataError if it is missing, torn, or lacks a field."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        raise DataError(f"no goals file {file}; it is one of the official WebShop files") from None
    except UNDECODABLE as e:
        raise DataError(f"{file}: {e}; is it whole, and the official file of that name?") from e
