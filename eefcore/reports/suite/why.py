"""Why one method of a suite is better than another, over seeds: difficulty, who solved what first, what was trained.

The functions are `why`'s; here they are asked for every method and seed, and become tables and figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from eefcore.evaluation import stats
from eefcore.evaluation.metrics import Evaluation
from eefcore.evaluation.stats import Array
from eefcore.experts.registry import Measure
from eefcore.figures import suite
from eefcore.reports import why
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Prose
from eefcore.reports.document.cells import Cell, Column, Table
from eefcore.reports.sections import Chapter, Drawn, chapter
from eefcore.reports.suite import difficulty
from eefcore.reports.suite.evidence import Method
from eefcore.reports.why import ALONE, DEMONSTRATED, First, TrainedOn
from eefcore.types import Trajectory


class Solved(NamedTuple):
    """How a method came to solve its training tasks, a mapping a seed, and what it was trained on last."""

    firsts: dict[int, dict[str, First | None]]
    trained: TrainedOn
    marked: bool  # whether its experts mark their mistakes


def solved(method: Method) -> Solved:
    """Read seed by seed: the simulations of one are many."""
    firsts, examples, marked = {}, [], False
    for seed, stages, tasks in zip(method.seeds, method.stages, method.tasks(), strict=True):
        learnt = why.learnt(stages, method.name, method.card)
        firsts[seed] = why.first_solved(tasks, learnt)
        examples.append(learnt._replace(experts=[], simulations=[]))
        marked |= any(t.marks for t in learnt.experts)
    return Solved(firsts, why.trained_on(method.name, examples)[-1], marked)


def explained(
    methods: Sequence[Method],
    evaluations: Sequence[Evaluation],
    solutions: Sequence[Trajectory],
    kinds: Mapping[str, str],
    measures: Sequence[Measure],
) -> Chapter:
    """EEF §3.1 and §1 as numbers.

    Args:
        evaluations: of the methods and of the experts alone, on the test panel.
        solutions: a perfect expert's on the tasks of that panel; none where nobody scripted one.
        kinds: the kind of each task, in words.
        measures: of how hard a task is.
    """
    found = {m.name: solved(m) for m in methods}
    never = _never(found)
    return chapter(
        "why",
        "Why",
        *difficulty.blocks(evaluations, solutions, kinds, measures),
        Prose(_never_told(never)),
        Drawn("origins", _ORIGINS, suite.origins({m: _origins(s) for m, s in found.items()})),
        _growth(found),
        _firsts(found),
        *_harm(found),
        _trained(found),
    )


_ORIGINS = (
    "Of each method the training tasks that it came to have a solution for: demonstrated by an expert, found from the "
    "task’s start, or found from inside an expert’s trajectory."
)
_HARM = (
    "The scripted experts mark the mistakes that they make on purpose. No method sees the marks; they tell how much "
    "of what was trained would better not have been."
)


def _harm(found: Mapping[str, Solved]) -> list[Prose | Drawn]:
    """Nothing where no expert marks its mistakes: that none is known to be trained on would say nothing."""
    if not any(of.marked for of in found.values()):
        return []
    shares = {m: of.trained.mistakes for m, of in found.items()}
    caption = (
        "Of the actions that each method’s last model was trained on, those that are an expert’s mistakes."
    )
    return [
        Prose(_HARM),
        Drawn("mistakes", caption, suite.shares(shares, "trained actions that are mistakes")),
    ]


def _growth(found: Mapping[str, Solved]) -> Table:
    """First solved by which method, in which iteration, from where."""
    rows = []
    for method, of in found.items():
        ways = sorted({(f.iteration, f.origin) for seed in of.firsts.values() for f in seed.values() if f})
        for iteration, origin in ways:
            firsts = [
                f for seed in of.firsts.values() for f in seed.values() if f and f[:2] == (iteration, origin)
            ]
            share = stats.rate(_where(of, lambda f, way=(iteration, origin): f is not None and f[:2] == way))
            rows.append(
                (
                    cells.words(method),
                    cells.count(iteration),
                    cells.words(_words(origin)),
                    cells.share(share),
                    cells.count(sum(f.n_expert for f in firsts) / len(firsts), digits=1),
                )
            )
    columns = (
        Column("Method", key="method", words=True),
        Column("iteration"),
        Column("first solved from", words=True),
        Column("share of training tasks"),
        Column("expert actions at its head"),
    )
    note = "Iteration 0 is what the experts demonstrated. Small print: 95 % intervals over seeds and tasks."
    return Table("growth", columns, tuple(rows), note=note)


def _firsts(found: Mapping[str, Solved]) -> Table:
    """Of the tasks that somebody solved: who did so first, and who alone."""
    ever = {m: _where(of, lambda f: f is not None) for m, of in found.items()}
    first, alone = _credits(found)
    rows = tuple(
        (
            cells.words(m),
            cells.share(stats.rate(ever[m])),
            cells.share(stats.rate(first[m])),
            cells.share(stats.rate(alone[m])),
        )
        for m in found
    )
    columns = (
        Column("Method", key="method", words=True),
        Column("solved"),
        Column("among the first to"),
        Column("alone the first to"),
    )
    note = (
        "Shares of the training tasks. First: in the earliest iteration in which any of these methods has a solution; "
        "methods that share a stage share its solutions. Small print: 95 % intervals over seeds and tasks."
    )
    return Table("first_solved", columns, rows, note=note)


def _credits(found: Mapping[str, Solved]) -> tuple[dict[str, Array], dict[str, Array]]:
    first: dict[str, list[list[float]]] = {m: [] for m in found}
    alone: dict[str, list[list[float]]] = {m: [] for m in found}
    for seed in sorted({seed for of in found.values() for seed in of.firsts}):
        there = {m: of.firsts[seed] for m, of in found.items() if seed in of.firsts}
        credits = why.credits(there)
        for m in there:
            by = [credit.firsts if credit else {} for credit in credits.values()]
            first[m].append([float(m in firsts) for firsts in by])
            alone[m].append([float(m in firsts and len(firsts) == 1) for firsts in by])
    return ({m: np.array(rows) for m, rows in which.items()} for which in (first, alone))


def _never(found: Mapping[str, Solved]) -> Array:
    """[R, T]: whether no method of the seed solved the task."""
    seeds = set.intersection(*(set(of.firsts) for of in found.values()))
    return np.array(
        [
            [
                float(credit is None)
                for credit in why.credits({m: of.firsts[seed] for m, of in found.items()}).values()
            ]
            for seed in sorted(seeds)
        ]
    )


def _never_told(never: Array) -> str:
    if not never.size:
        return "No seed has all methods yet."
    by_all = int(never.all(axis=0).sum())
    return (
        f"{100 * never.mean():.1f} % of the {never.shape[1]:,} training tasks were solved by no method of a seed; "
        f"{by_all:,} of them in none of the {len(never)} seeds."
        if len(never) > 1
        else f"{by_all:,} of the {never.shape[1]:,} training tasks were solved by no method."
    )


def _origins(of: Solved) -> dict[str, float]:
    ways = {
        "demonstrated": lambda f: f is not None and f.origin == DEMONSTRATED,
        "from the start": lambda f: f is not None and f.origin == ALONE,
        "from an expert’s state": lambda f: f is not None and f.origin not in (DEMONSTRATED, ALONE),
    }
    return {kind: float(_where(of, way).mean()) for kind, way in ways.items()}


def _where(of: Solved, way: Callable[[First | None], bool]) -> Array:
    return np.array([[float(way(first)) for first in seed.values()] for seed in of.firsts.values()])


def _words(origin: str) -> str:
    return {DEMONSTRATED: "demonstrated", ALONE: "the task’s start"}.get(origin, f"states of {origin}")


def _trained(found: Mapping[str, Solved]) -> Table:
    marked = any(of.marked for of in found.values())
    columns: list[tuple[Column, Callable[[TrainedOn], Cell]]] = [
        (Column("Method", key="method", words=True), lambda t: cells.words(t.method)),
        (Column("iteration"), lambda t: cells.count(t.iteration)),
        (Column("trained actions"), lambda t: cells.score(t.actions, 0)),
        (Column("an expert’s"), lambda t: cells.share(t.expert)),
        *([(Column("an expert’s mistakes"), lambda t: cells.share(t.mistakes))] if marked else []),
        (Column("of lost trajectories"), lambda t: cells.share(t.lost)),
    ]
    rows = tuple(tuple(cell(of.trained) for _, cell in columns) for of in found.values())
    note = (
        "The training set of the last supervised iteration. A training set is known whole: the interval is over other "
        "seeds, and of one seed it is a point."
    )
    return Table("trained", tuple(column for column, _ in columns), rows, note=note)
