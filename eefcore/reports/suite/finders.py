"""Finders of beneficial segments beside each other: what each spent and what it found (EEF §6, its future work).

All explore for the first time, with the same policy, from the same expert trajectories; the first of the
methods is the one that the others are held against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eefcore.evaluation import stats
from eefcore.evaluation.stats import Array, Estimate
from eefcore.reports.document import cells
from eefcore.reports.document.cells import BLANK, Column, Table
from eefcore.reports.suite.evidence import Method
from eefcore.types import Trajectory


class Found(NamedTuple):
    """What a finder spent and found, [R, T] over seeds and training tasks; NaN where it had nothing to find."""

    method: str
    finder: str
    spent: Array  # simulations from expert states
    newly: Array  # a simulation won what no expert won
    rescued: (
        Array  # of what no expert and no simulation from s_0 won, a simulation from an expert's state won
    )
    kept: Estimate  # expert actions at the head of a solution that the next model was trained on


def read(methods: Sequence[Method]) -> list[Found]:
    """What the first exploration of each method found."""
    out = []
    for m in methods:
        seeds = zip(m.tasks(), m.demonstrations(), m.simulations(1), strict=True)
        spent, newly, rescued = (np.array(rows) for rows in zip(*(_counted(*s) for s in seeds), strict=True))
        heads = [
            e.trajectory.n_expert - e.first for seed in m.examples(2) for e in seed if _helped(e.trajectory)
        ]
        kept = stats.mean(np.array([[n for n in heads if n > 0] or [np.nan]], dtype=float))
        out.append(Found(m.name, m.recipe.finder, spent, newly, rescued, kept))
    return out


def table(name: str, found: Sequence[Found]) -> Table:
    """How the finders compare."""
    first, *_ = found
    rows = tuple(
        (
            cells.words(f.method, cells.panel(stats.rate(f.newly))),
            cells.words(f.finder),
            cells.score(stats.mean(f.spent)),
            cells.share(stats.rate(f.newly)),
            cells.score(stats.ratio(f.spent, np.nan_to_num(f.newly)), 1),
            cells.score(f.kept),
            BLANK if f is first else cells.share(stats.ratio(f.spent, first.spent)),
            BLANK if f is first else cells.share(stats.rate(again(f, first))),
        )
        for f in found
    )
    against = f"Against {first.method}"
    columns = (
        Column("Method", key="method", words=True),
        Column("finder", words=True),
        Column("simulations a task"),
        Column("newly solved"),
        Column("simulations a newly solved task"),
        Column("expert actions kept"),
        Column("simulations", against, "simulations ratio"),
        Column("its rescues found again", against, "rescues found again"),
    )
    note = (
        "Of the first exploration, simulations from expert states. Newly solved: share of the tasks that no expert won "
        "and a simulation did; a rescue is one that no simulation from the task’s start won either. Expert actions "
        "kept: mean over the solutions trained that begin with some. Small print: 95 % intervals over seeds and tasks."
    )
    return Table(name, columns, rows, note=note)


def again(found: Found, first: Found) -> Array:
    """Whether what `first` rescued is rescued by `found` as well, [R, T]; NaN where `first` did not."""
    return np.where(first.rescued == 1.0, np.nan_to_num(found.rescued), np.nan)


def _counted(
    tasks: Sequence[str], experts: Sequence[Trajectory], simulations: Sequence[Trajectory]
) -> tuple[list[float], list[float], list[float]]:
    helped = [t for t in simulations if t.n_expert]
    spent = Counter(t.task_id for t in helped)
    shown = {t.task_id for t in experts if t.win}
    alone = {t.task_id for t in simulations if t.win and not t.n_expert}
    rescued = {t.task_id for t in helped if t.win}
    return (
        [float(spent[task]) for task in tasks],
        [np.nan if task in shown else float(task in alone | rescued) for task in tasks],
        [np.nan if task in shown | alone else float(task in rescued) for task in tasks],
    )


def _helped(trajectory: Trajectory) -> bool:
    """Whether an expert began it and the policy ended it."""
    return 0 < trajectory.n_expert < len(trajectory)
