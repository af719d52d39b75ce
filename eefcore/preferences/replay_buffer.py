"""Replay preference pairs of earlier rounds (Agent Q §5.2); each side keeps the likelihoods it had when it was sampled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec

from eefcore.errors import ParamsError
from eefcore.preferences.trees import node_pairs, outcome_pairs
from eefcore.search.tree import Tree
from eefcore.storage.records import read_records
from eefcore.types import Card, Preference, State, Trajectory


def replay_pairs(
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
    """Return the pairs of `kind` from the stages in `folders`, from each stage at most `most` a task (0 is no limit).

    The first folder is of the newest round, each later one of the round before it; `age` counts them. If two rounds
    compare the same two actions in one state, the newer one counts, whichever they prefer.

    `node` pairs come from trees (`trees.node_pairs`); of more than `most` a task those of the widest margins are kept.
    `trajectory` pairs come from the simulations of a search or of an exploration (`trees.outcome_pairs`).

    Raises:
        ParamsError: there is no such kind.
        StoreError: a stage has no trees.
    """
    pairs: list[Preference] = []
    for age, folder in enumerate(folders):
        compared = {_compared(p) for p in pairs}
        of_round = _pairs_of_stage(folder, card, kind, theta, min_visits, alpha, most, seed)
        pairs += [msgspec.structs.replace(p, age=age) for p in of_round if _compared(p) not in compared]
    return pairs


def _compared(preference: Preference) -> frozenset[State]:
    """Return the states to which the two sides lead, whichever is preferred."""
    sides = (preference.chosen, preference.rejected)
    return frozenset(side.trajectory.state(side.trained_indices.stop) for side in sides)


def _pairs_of_stage(
    folder: Path,
    card: Card | None,
    kind: str,
    theta: float,
    min_visits: int,
    alpha: float | None,
    most: int,
    seed: int,
) -> list[Preference]:
    """Return the pairs of one stage."""
    if kind == "trajectory":
        simulations = read_records(folder / "simulations.jsonl", Trajectory, card=card).list
        return outcome_pairs(simulations, most=most or len(simulations) ** 2, seed=seed)
    if kind != "node":
        raise ParamsError(f"12_pairs: kind {kind!r}; choose node or trajectory")
    trees = read_records(folder / "trees.jsonl", Tree, card=card).list
    found = node_pairs(trees, theta=theta, min_visits=min_visits, alpha=alpha)
    return widest_margins(found, most, seed=seed) if most else found


def widest_margins(pairs: list[Preference], most: int, *, seed: int) -> list[Preference]:
    """Return, in their own order, at most `most` pairs of a task: those of the widest margins; ties are drawn."""
    of_task: dict[str, list[int]] = defaultdict(list)
    for i, p in enumerate(pairs):
        of_task[p.chosen.trajectory.task_id].append(i)
    kept: set[int] = set()
    for task, indices in of_task.items():
        rng = Random(f"{seed} {task}")
        kept.update(sorted(indices, key=lambda i: (-pairs[i].margin, rng.random()))[:most])
    return [p for i, p in enumerate(pairs) if i in kept]
