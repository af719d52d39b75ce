"""Which goals are trained on and which are tested on: lists of task ids, from their content or from a file.

A split by content sorts goals by the hash of (seed, goal id) and deals test, dev and train in that order, so
that it does not depend on the order of the goals. What must not be parted stays together: goals whose texts
differ in the price clause at most, and, if products are held out, all goals of a product.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from eefcore.envs.webshop.goals import Goal
from eefcore.errors import DataError, LeakageError

NAMES = ("train", "dev", "test")

HELD_OUT = 2
"""Goals of one product in a panel, at most, where products are held out."""

Splits = dict[str, tuple[str, ...]]
"""Task ids of each of `NAMES`, in a fixed order."""


class Sizes(NamedTuple):
    """How many goals to test on and to select models on; the rest is trained on."""

    test: int
    dev: int


def usual(n: int) -> Sizes:
    """250 to test on, as EEF has, and 100 to select on; of a small set a quarter and an eighth."""
    return Sizes(min(250, n // 4), min(100, n // 8))


def by_content(
    goals: Mapping[str, Goal], sizes: Sizes, *, seed: int, hold_out_products: bool = False
) -> Splits:
    """Splits of the given sizes.

    A group of goals that would overflow a split goes to the next, so a split may be smaller than asked when
    groups are large. Of a product held out `HELD_OUT` goals are tested on and no other is used: a product of
    the small official set has up to a hundred, and four products would fill a panel of 250.

    Raises:
        DataError: more goals are asked for than there are.
    """
    if min(sizes) < 0 or sum(sizes) > len(goals):
        raise DataError(
            f"splits of {sizes.test} test and {sizes.dev} dev goals out of {len(goals)}; ask for fewer, or "
            "load more products"
        )
    room = {"test": sizes.test, "dev": sizes.dev, "train": len(goals)}
    splits: dict[str, list[str]] = {name: [] for name in NAMES}
    groups = _groups(goals.values(), hold_out_products)
    for group in sorted(sorted((_digest(seed, i), i) for i in group) for group in groups):
        most = HELD_OUT if hold_out_products else len(group)
        name = next(name for name, left in room.items() if left >= min(most, len(group)))
        kept = group if name == "train" else group[:most]
        room[name] -= len(kept)
        splits[name] += [task_id for _, task_id in kept]
    return {name: tuple(ids) for name, ids in splits.items()}


def from_file(file: Path, goals: Mapping[str, Goal]) -> Splits:
    """The splits a file holds, `{"train": […], "dev": […], "test": […]}`.

    Raises:
        DataError: it is no such file, or holds ids that no goal has.
        LeakageError: see `check`.
    """
    try:
        splits = msgspec.json.decode(file.read_bytes(), type=dict[str, tuple[str, ...]])
    except FileNotFoundError:
        raise DataError(f"no splits file {file}; leave it out to split by content") from None
    except msgspec.DecodeError as e:
        raise DataError(f"{file}: {e}; expected lists of task ids under {', '.join(NAMES)}") from e
    if set(splits) != set(NAMES):
        raise DataError(f"{file}: has {', '.join(splits) or 'nothing'}, expected {', '.join(NAMES)}")
    for name, ids in splits.items():
        unknown = [i for i in ids if i not in goals]
        if unknown:
            raise DataError(
                f"{file}: {len(unknown)} of {len(ids)} {name} ids are of no goal here, {unknown[0]!r} first; "
                "was it made for another catalogue, price seed or kind of goals?"
            )
    check(splits, goals)
    return splits


def check(splits: Mapping[str, tuple[str, ...]], goals: Mapping[str, Goal]) -> None:
    """Nothing, if no goal and no goal text is in two splits, or twice in one.

    Raises:
        LeakageError: naming the first that is.
    """
    of_id: dict[str, str] = {}
    of_text: dict[str, str] = {}
    for name, ids in splits.items():
        for task_id in ids:
            if task_id in of_id:
                raise LeakageError(f"task {task_id} is in {of_id[task_id]} and in {name}; list it once")
            of_id[task_id] = name
            text = goals[task_id].instruction
            if of_text.setdefault(text, name) != name:
                raise LeakageError(
                    f"the goal {text!r} is in {of_text[text]} and in {name}; keep it in one of them"
                )


def digest(splits: Mapping[str, tuple[str, ...]]) -> str:
    """Eight hex digits of who is where, for the environment card."""
    content = msgspec.json.encode([[name, *splits[name]] for name in NAMES])
    return hashlib.sha256(content).hexdigest()[:8]


_PRICE_CLAUSE = re.compile(r", and price lower than [\d.]+ dollars$")


def _groups(goals: Iterable[Goal], hold_out_products: bool) -> list[list[str]]:
    """Task ids that must stay together: connected through an equal text, or an equal product."""
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = key = leader[leader[key]]
        return key

    ids = []
    for goal in goals:
        ids.append(goal.id)
        keys = [f"text {_PRICE_CLAUSE.sub('', goal.instruction).lower().strip(' .')}"]
        keys += [f"product {goal.asin}"] if hold_out_products else []
        for key in keys:
            leader[find(key)] = find(goal.id)
    groups = defaultdict(list)
    for task_id in ids:
        groups[find(task_id)].append(task_id)
    return list(groups.values())


def _digest(seed: int, task_id: str) -> str:
    return hashlib.sha256(f"{seed}\n{task_id}".encode()).hexdigest()
