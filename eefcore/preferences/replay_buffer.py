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
    most: int | None,
    seed: int,
) -> list[Preference]:
    """Return the pairs of `kind` from the stages in `folders`, at most `most` of a task and stage (None is no limit).

    The first folder is of the newest round, each later one of the round before it; `age` counts them. If two rounds
    compare the same two actions in one state, the newer one counts, whichever they prefer.

    `node` pairs come from trees (`trees.node_pairs`); of more than `most` a task those of the widest margins are kept.
    `trajectory` pairs come from the simulations of a search or of an exploration (`trees.outcome_pairs`).

    Raises:
        ParamsError: there is no such kind, or `most` is below 1.
        StoreError: a stage has no trees.
    """
    if kind not in ("node", "trajectory"):
        raise ParamsError(f"12_pairs: kind {kind!r}; choose node or trajectory")
    if most is not None and most < 1:
        raise ParamsError(f"12_pairs: most {most}, expected at least 1; choose null for no limit")
    pairs: list[Preference] = []
    for age, folder in enumerate(folders):
        if kind == "node":
            trees = read_records(folder / "trees.jsonl", Tree, card=card).list
            of_round = node_pairs(trees, theta=theta, min_visits=min_visits, alpha=alpha)
            of_round = _widest_margins(of_round, most, seed)
        else:
            simulations = read_records(folder / "simulations.jsonl", Trajectory, card=card).list
            of_round = outcome_pairs(simulations, most=most, seed=seed)
        compared = {_compared(p) for p in pairs}
        pairs += [msgspec.structs.replace(p, age=age) for p in of_round if _compared(p) not in compared]
    return pairs


def _compared(preference: Preference) -> frozenset[State]:
    """Return the states to which the two sides lead, whichever is preferred."""
    sides = (preference.chosen, preference.rejected)
    return frozenset(side.trajectory.state(side.end) for side in sides)


def _widest_margins(pairs: list[Preference], most: int | None, seed: int) -> list[Preference]:
    """Return, in their own order, the `most` pairs of each task that have the widest margins; ties are drawn."""
    of_task: dict[str, list[int]] = defaultdict(list)
    for i, p in enumerate(pairs):
        of_task[p.chosen.trajectory.task_id].append(i)
    kept: set[int] = set()
    for task, indices in of_task.items():
        rng = Random(f"{seed} {task}")
        kept.update(sorted(indices, key=lambda i: (-pairs[i].margin, rng.random()))[:most])
    return [p for i, p in enumerate(pairs) if i in kept]
