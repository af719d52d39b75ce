"""The replay buffer of Agent Q (§5.2): pairs from what rounds tried, each side as likely as when it was written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec

from eefcore.errors import ParamsError
from eefcore.preferences import trees as pairs
from eefcore.search.tree import Tree
from eefcore.storage.records import read_records
from eefcore.types import Card, Preference, State, Trajectory


def drawn(
    folders: Sequence[Path],
    card: Card | None,
    *,
    kind: str,
    theta: float,
    min_visits: int,
    alpha: float | None,
    most: int,
    seed: int,
) -> list[Preference]:
    """The pairs of `kind` that the stages of `folders` left, of each stage `most` of a task at most (0: all).

    The first folder is of the round that is to be learnt from, each one after it of the round before: `age` says so.
    Where two rounds compare the same two in one state, the later one is believed, whichever they prefer.

    `node` reads its trees (`pairs.node_pairs`), and of those of a task too many keeps the ones of the widest margins;
    `trajectory` its simulations, of a search or of an exploration (`pairs.outcome_pairs`).

    Raises:
        ParamsError: there is no such kind.
        StoreError: a stage grew no trees.
    """
    found: list[Preference] = []
    for age, folder in enumerate(folders):
        known = {_compared(p) for p in found}
        of_round = _of(folder, card, kind, theta, min_visits, alpha, most, seed)
        found += [msgspec.structs.replace(p, age=age) for p in of_round if _compared(p) not in known]
    return found


def _compared(preference: Preference) -> frozenset[State]:
    """Where its two sides lead, whichever is preferred."""
    sides = (preference.chosen, preference.rejected)
    return frozenset(side.trajectory.state(side.trained_indices.stop) for side in sides)


def _of(
    folder: Path,
    card: Card | None,
    kind: str,
    theta: float,
    min_visits: int,
    alpha: float | None,
    most: int,
    seed: int,
) -> list[Preference]:
    """The pairs of one stage."""
    if kind == "trajectory":
        simulations = read_records(folder / "simulations.jsonl", Trajectory, card=card).list
        return pairs.outcome_pairs(simulations, most=most or len(simulations) ** 2, seed=seed)
    if kind != "node":
        raise ParamsError(f"12_pairs: kind {kind!r}; choose node or trajectory")
    trees = read_records(folder / "trees.jsonl", Tree, card=card).list
    found = pairs.node_pairs(trees, theta=theta, min_visits=min_visits, alpha=alpha)
    return widest(found, most, seed=seed) if most else found


def widest(found: list[Preference], most: int, *, seed: int) -> list[Preference]:
    """At most so many pairs of a task, those of the widest margins, ties drawn, in their own order."""
    of_task: dict[str, list[int]] = defaultdict(list)
    for i, p in enumerate(found):
        of_task[p.chosen.trajectory.task_id].append(i)
    kept = set()
    for task, places in of_task.items():
        rng = Random(f"{seed} {task}")
        kept.update(sorted(places, key=lambda i: (-found[i].margin, rng.random()))[:most])
    return [p for i, p in enumerate(found) if i in kept]
