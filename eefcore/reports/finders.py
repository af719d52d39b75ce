"""Compare finders of beneficial segments: the simulations of each and the solutions it found (EEF §6, its future work).

All explore for the first time, with the same policy, from the same expert trajectories; the others are compared with the
first of the methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from eefcore.evaluation import stats
from eefcore.evaluation.stats import Array, Estimate
from eefcore.figures import evaluation
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Block, Chapter, Figure, chapter
from eefcore.reports.document.cells import BLANK, Cell, Column, Table
from eefcore.reports.evidence import Method
from eefcore.types import Trajectory


class FinderResult(NamedTuple):
    """The simulations and solutions of a finder, [R, T] over seeds and training tasks; NaN where it had nothing to find."""

    method: str
    finder: str
    spent: Array  # simulations from expert states
    newly: Array  # 1 where a simulation won what no expert won
    rescued: Array  # 1 where a simulation from an expert state won what no expert and none from s_0 won
    kept: Estimate  # expert actions at the head of a solution that the next model was trained on


def finder_chapter(runs: Mapping[str, Sequence[Method]]) -> Chapter:
    """Return the section on finders, a figure and a table a run; each is compared with the first of its run."""
    blocks: list[Block | Figure] = []
    caption = "What each finder simulated from expert states, and the share it solved of the tasks that no expert won."
    for stem, methods in runs.items():
        found = read_finders(methods)
        points = {f.method: (stats.mean(f.spent), stats.rate(f.newly)) for f in found}
        blocks += [
            Figure(f"finders_{stem}", caption, evaluation.finders(points)),
            table(f"finders_{stem}", found),
        ]
    return chapter("finders", "Finding beneficial segments", *blocks)


def read_finders(methods: Sequence[Method]) -> list[FinderResult]:
    """Return the result of each method's finder in its first exploration."""
    out = []
    for m in methods:
        seeds = zip(m.tasks(), m.demonstrations(), m.simulations(1), strict=True)
        spent, newly, rescued = (np.array(rows) for rows in zip(*(_count(*s) for s in seeds), strict=True))
        # Expert actions that are trained, of trajectories that an expert began and the policy ended.
        heads = [
            e.trajectory.n_expert - e.first
            for seed in m.examples(2)
            for e in seed
            if e.first < e.trajectory.n_expert < len(e.trajectory)
        ]
        kept = stats.mean(np.array([heads or [np.nan]], dtype=float))
        out.append(FinderResult(m.name, m.recipe.finder, spent, newly, rescued, kept))
    return out


def table(name: str, found: Sequence[FinderResult]) -> Table:
    """Return the comparison of the finders as a table."""
    first, *_ = found
    against = f"Against {first.method}"

    def saved(f: FinderResult) -> Cell:
        return BLANK if f is first else cells.share(stats.ratio(f.spent, first.spent))

    def found_again(f: FinderResult) -> Cell:
        return BLANK if f is first else cells.share(stats.rate(rescued_again(f, first)))

    columns: cells.Columns[FinderResult] = [
        (
            Column("Method", key="method", words=True),
            lambda f: cells.words(f.method, cells.panel_size(stats.rate(f.newly))),
        ),
        (Column("finder", words=True), lambda f: cells.words(f.finder)),
        (Column("simulations a task"), lambda f: cells.score(stats.mean(f.spent))),
        (Column("newly solved"), lambda f: cells.share(stats.rate(f.newly))),
        (
            Column("simulations a newly solved task"),
            lambda f: cells.score(stats.ratio(f.spent, np.nan_to_num(f.newly)), 1),
        ),
        (Column("expert actions kept"), lambda f: cells.score(f.kept)),
        (Column("simulations", against, "simulations ratio"), saved),
        (Column("its rescues found again", against, "rescues found again"), found_again),
    ]
    note = (
        "Of the first exploration, simulations from expert states. Newly solved: share of the tasks that no expert won "
        "and a simulation did; a rescue is one that no simulation from the task’s start won either. Expert actions "
        "kept: mean over the solutions trained that begin with some. Small print: 95 % intervals over seeds and tasks."
    )
    return cells.make_table(name, columns, found, note=note)


def rescued_again(found: FinderResult, first: FinderResult) -> Array:
    """Return [R, T] whether `found` solves the tasks that `first` solved from expert states; NaN where `first` solved none."""
    return np.where(first.rescued == 1.0, np.nan_to_num(found.rescued), np.nan)


def _count(
    tasks: Sequence[str], experts: Sequence[Trajectory], simulations: Sequence[Trajectory]
) -> tuple[list[float], list[float], list[float]]:
    from_expert = [t for t in simulations if t.n_expert]
    spent = Counter(t.task_id for t in from_expert)
    demonstrated = {t.task_id for t in experts if t.win}
    alone = {t.task_id for t in simulations if t.win and not t.n_expert}
    rescued = {t.task_id for t in from_expert if t.win}
    return (
        [float(spent[task]) for task in tasks],
        [np.nan if task in demonstrated else float(task in alone | rescued) for task in tasks],
        [np.nan if task in demonstrated | alone else float(task in rescued) for task in tasks],
    )
