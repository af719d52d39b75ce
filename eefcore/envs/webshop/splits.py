"""The goals to train on, to select models on and to test on: lists of task ids, made by content or read from a file.

A split by content sorts goals by the hash of (seed, goal id) and fills test, dev and train in that order, so
that it does not depend on the order of the goals. Goals that must not be parted stay together: those that ask for the
same thing (`eefcore.instructions`), and, if products are held out, all goals of a product.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from eefcore.envs.panels import SPLITS, PanelSizes, Splits
from eefcore.envs.webshop.goals import Goal
from eefcore.errors import UNDECODABLE, DataError, LeakageError
from eefcore.instructions import instruction_key
from eefcore.storage.hashing import digest

HELD_OUT = 2
"""Goals of one product in the dev or test split, at most, where products are held out."""


def default_sizes(n: int) -> PanelSizes:
    """Return 250 goals to test on, as EEF has, and 100 to select on, but at most a quarter and an eighth of all."""
    return PanelSizes(test=min(250, n // 4), dev=min(100, n // 8))


def split_by_content(
    goals: Mapping[str, Goal], sizes: PanelSizes, *, seed: int, hold_out_products: bool = False
) -> Splits:
    """Split goals by content: `sizes.test` to test on, `sizes.dev` to select models on, and all others to train on.

    A group of goals that would overflow a split goes to the next, so a split may be smaller than asked when
    groups are large. Where products are held out, `HELD_OUT` goals of a product at most are tested on, and its others
    are not used: a product of the small official set has up to a hundred, and four products would fill a split of 250.

    Raises:
        DataError: more goals are asked for than there are.
    """
    if min(sizes) < 0 or sizes.test + sizes.dev > len(goals):
        raise DataError(
            f"splits of {sizes.test} test and {sizes.dev} dev goals out of {len(goals)}; ask for fewer, or "
            "load more products"
        )
    room = {"test": sizes.test, "dev": sizes.dev, "train": len(goals)}
    splits: dict[str, list[str]] = {name: [] for name in SPLITS}
    groups = _groups(goals.values(), hold_out_products)
    for group in sorted(sorted((digest(str(seed), i), i) for i in group) for group in groups):
        most = HELD_OUT if hold_out_products else len(group)
        name = next(name for name, left in room.items() if left >= min(most, len(group)))
        used = group if name == "train" else group[:most]
        room[name] -= len(used)
        splits[name] += [task_id for _, task_id in used]
    return {name: tuple(ids) for name, ids in splits.items()}


def read_splits(file: Path, goals: Mapping[str, Goal]) -> Splits:
    """Read splits from a file, `{"train": […], "dev": […], "test": […]}`, and check them (`check_splits`).

    Raises:
        DataError: it is missing or of another format, or holds ids that no goal has.
    """
    try:
        splits = msgspec.json.decode(file.read_bytes(), type=dict[str, tuple[str, ...]])
    except FileNotFoundError:
        raise DataError(f"no splits file {file}; leave it out to split by content") from None
    except UNDECODABLE as e:
        raise DataError(f"{file}: {e}; expected lists of task ids under {', '.join(SPLITS)}") from e
    if set(splits) != set(SPLITS):
        raise DataError(f"{file}: has {', '.join(splits) or 'nothing'}, expected {', '.join(SPLITS)}")
    for name, ids in splits.items():
        unknown = [i for i in ids if i not in goals]
        if unknown:
            raise DataError(
                f"{file}: {len(unknown)} of {len(ids)} {name} ids belong to no goal here, {unknown[0]!r} first; "
                "was it made for another catalogue, price seed or kind of goals?"
            )
    check_splits(splits, goals)
    return splits


def check_splits(splits: Mapping[str, tuple[str, ...]], goals: Mapping[str, Goal]) -> None:
    """Raise LeakageError for a goal that is listed twice, and for goals of two splits that ask for the same."""
    split_of_id: dict[str, str] = {}
    split_of_text: dict[str, str] = {}
    for name, ids in splits.items():
        for task_id in ids:
            if task_id in split_of_id:
                raise LeakageError(f"task {task_id} is in {split_of_id[task_id]} and in {name}; list it once")
            split_of_id[task_id] = name
            text = instruction_key(goals[task_id].instruction)
            if split_of_text.setdefault(text, name) != name:
                raise LeakageError(
                    f"the goal {text!r} is in {split_of_text[text]} and in {name}; keep it in one of them"
                )


def splits_digest(splits: Mapping[str, tuple[str, ...]]) -> str:
    """Return eight hex digits that stand for the splits on an environment card."""
    content = msgspec.json.encode([[name, *splits[name]] for name in SPLITS])
    return hashlib.sha256(content).hexdigest()[:8]


def _groups(goals: Iterable[Goal], hold_out_products: bool) -> list[list[str]]:
    """Return groups of task ids that must stay together: goals connected through what they ask for, or through a product."""
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = key = leader[leader[key]]
        return key

    ids = []
    for goal in goals:
        ids.append(goal.id)
        keys = [f"text {instruction_key(goal.instruction)}"]
        keys += [f"product {goal.asin}"] if hold_out_products else []
        for key in keys:
            leader[find(key)] = find(goal.id)
    groups = defaultdict(list)
    for task_id in ids:
        groups[find(task_id)].append(task_id)
    return list(groups.values())
