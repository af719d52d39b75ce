"""The tasks of ScienceWorld: thirty kinds in variations, the simulator's splits of them, and AgentGym's numbers.

The simulator splits each kind's variations in the order of their numbers, 50 / 25 / 25, so that test tasks have
other substances, animals or rooms than training tasks. These splits are kept: a panel is drawn from the simulator's
own `dev` or `test`, never from another.

    AGENTGYM    23 kinds in the order of AgentGym's `data_idx`
    SCIWORLD    22 kinds: those of AgentTraj-L (the demonstrations of EEF §4.1), AgentGym's but for one
    MINI        12 kinds whose gold paths take at most about twenty actions
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import chain, zip_longest
from typing import NamedTuple

from eefcore.envs.panels import SPLITS, PanelSizes, Splits
from eefcore.errors import DataError, UnknownTask

VARIATIONS: Mapping[str, int] = {
    "boil": 30,
    "melt": 30,
    "freeze": 30,
    "change-the-state-of-matter-of": 30,
    "use-thermometer": 540,
    "measure-melting-point-known-substance": 436,
    "measure-melting-point-unknown-substance": 300,
    "power-component": 20,
    "power-component-renewable-vs-nonrenewable-energy": 20,
    "test-conductivity": 900,
    "test-conductivity-of-unknown-substances": 600,
    "find-living-thing": 300,
    "find-non-living-thing": 300,
    "find-plant": 300,
    "find-animal": 300,
    "grow-plant": 126,
    "grow-fruit": 126,
    "chemistry-mix": 32,
    "chemistry-mix-paint-secondary-color": 36,
    "chemistry-mix-paint-tertiary-color": 36,
    "lifespan-longest-lived": 125,
    "lifespan-shortest-lived": 125,
    "lifespan-longest-lived-then-shortest-lived": 125,
    "identify-life-stages-1": 14,
    "identify-life-stages-2": 10,
    "inclined-plane-determine-angle": 168,
    "inclined-plane-friction-named-surfaces": 1386,
    "inclined-plane-friction-unnamed-surfaces": 162,
    "mendelian-genetics-known-plant": 120,
    "mendelian-genetics-unknown-plant": 480,
}
"""Kinds of task in the simulator's order, and how many variations each has."""

_LONG = ("grow-", "inclined-plane-", "mendelian-genetics-")
AGENTGYM = tuple(kind for kind in VARIATIONS if not kind.startswith(_LONG))
SCIWORLD = tuple(kind for kind in AGENTGYM if kind != "measure-melting-point-unknown-substance")
MINI = (
    "use-thermometer",
    "power-component",
    "power-component-renewable-vs-nonrenewable-energy",
    "find-living-thing",
    "find-non-living-thing",
    "find-plant",
    "find-animal",
    "chemistry-mix-paint-secondary-color",
    "lifespan-longest-lived",
    "lifespan-shortest-lived",
    "lifespan-longest-lived-then-shortest-lived",
    "identify-life-stages-2",
)


class Task(NamedTuple):
    """A kind of task in one of its variations, which fixes the world and what is asked for."""

    kind: str
    variation: int

    @property
    def split(self) -> str:
        """The split of the task in the simulator: `train`, `dev` or `test`."""
        quarter = VARIATIONS[self.kind] // 4
        return SPLITS[max(0, min(self.variation // quarter, 3) - 1)]


def task_id(task: Task, version: str) -> str:
    """Return a hash of a task's kind, its variation, and the version of the simulator that plays it."""
    return hashlib.sha256(f"scienceworld {version}\n{task.kind}\n{task.variation}".encode()).hexdigest()[:12]


def all_variations(kinds: Iterable[str]) -> list[Task]:
    """Return all variations of some kinds, in the simulator's order."""
    return [Task(kind, variation) for kind in kinds for variation in range(VARIATIONS[kind])]


_NUMBERED = all_variations(AGENTGYM)


def agentgym_task(data_idx: int) -> Task:
    """Return the task that AgentGym (its server, its AgentTraj-L and AgentEval files) numbers `data_idx`."""
    if not 0 <= data_idx < len(_NUMBERED):
        raise UnknownTask(
            f"AgentGym numbers its ScienceWorld tasks 0 to {len(_NUMBERED) - 1}; got {data_idx}"
        )
    return _NUMBERED[data_idx]


def split_tasks(kinds: Iterable[str], sizes: PanelSizes, *, version: str, seed: int) -> Splits:
    """Return the task ids of `train`, `dev` and `test`; a size of 0 takes all tasks of a split.

    Kinds take turns in a panel, so that those with hundreds of variations do not fill a small one. Within a kind, tasks
    are ordered by the hash of seed and id.

    Raises:
        DataError: more tasks are asked for than a split has.
    """
    out = {}
    for split, size in zip(SPLITS, sizes, strict=True):
        by_kind = [
            _shuffled([task_id(t, version) for t in all_variations([kind]) if t.split == split], seed)
            for kind in kinds
        ]
        in_turns = [i for i in chain.from_iterable(zip_longest(*by_kind)) if i is not None]
        if size > len(in_turns):
            raise DataError(
                f"{size} {split} tasks are asked for; the simulator's {split} split holds {len(in_turns)} of these kinds"
            )
        out[split] = tuple(in_turns[: size or len(in_turns)])
    return out


def _shuffled(ids: Iterable[str], seed: int) -> list[str]:
    return sorted(ids, key=lambda i: hashlib.sha256(f"{seed} {i}".encode()).hexdigest())
