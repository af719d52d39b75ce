"""Report win rate by how hard a task is, for every method: EEF's simplicity bias as a figure and a table (EEF §3.1).

difficulty_blocks            figures and table
difficulty                   what a perfect solution needs in each task
win_rate_by_group            win rate within groups of tasks
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from eefcore.evaluation import metrics
from eefcore.evaluation.panel import Evaluation
from eefcore.evaluation.stats import Estimate
from eefcore.experts.registry import Measure
from eefcore.figures.evaluation import by_difficulty
from eefcore.figures.plots import Plot
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Figure, Prose
from eefcore.reports.document.cells import Column, Table
from eefcore.types import Trajectory

K = TypeVar("K", int, str)


def difficulty_blocks(
    evaluations: Sequence[Evaluation],
    solutions: Sequence[Trajectory],
    kinds: Mapping[str, str],
    measures: Sequence[Measure],
) -> list[Prose | Figure | Table]:
    """Return win rate by each of `measures` and by kind of task; nothing without a perfect expert's `solutions` of the test set."""
    if not any(t.win for t in solutions):
        return []
    levels = {m.name: difficulty(solutions, m) for m in measures}
    needs = f"{' and '.join(m.demand for m in measures)} {'ask' if len(measures) > 1 else 'asks'}"
    return [
        Prose(_BIAS.format(needs)),
        *(
            Figure(
                f"by_{m.name}",
                f"Win rate by {m.phrase}.",
                _by_difficulty(win_rate_by_group(levels[m.name], evaluations), m.title),
            )
            for m in measures
        ),
        _table(evaluations, measures, levels, kinds),
    ]


_BIAS = (
    "Simplicity bias: behaviour cloning and rejection sampling keep what is easy to solve. What {} of a task, measured on "
    "a perfect expert’s solution, makes it visible."
)


def difficulty(solutions: Iterable[Trajectory], measure: Measure) -> dict[str, int]:
    """Return how hard each task is by `measure` of a perfect expert's solution; tasks that even it lost are left out."""
    return {t.task_id: measure.value(t) for t in solutions if t.win}


def win_rate_by_group(
    group: Mapping[str, K], evaluations: Iterable[Evaluation]
) -> dict[str, dict[K, Estimate]]:
    """Return the win rate of each method within each group of tasks, in order; tasks without a group are left out.

    `group` is how hard each task is by one measure, or the kind of each task (`experts.registry.ScriptedExperts`).
    """
    return {
        e.method: metrics.win_rate_by(group, *([t for t in run if t.task_id in group] for run in e.runs))
        for e in evaluations
    }


def _by_difficulty(rates: Mapping[str, Mapping[int, Estimate]], what: str) -> Plot:
    return by_difficulty({m: of for m, of in rates.items() if not m.startswith("expert: ")}, what)


def _table(
    evaluations: Sequence[Evaluation],
    measures: Sequence[Measure],
    levels: Mapping[str, Mapping[str, int]],
    kinds: Mapping[str, str],
) -> Table:
    tasks = next(iter(levels.values()))
    known = {task: kinds[task] for task in tasks if task in kinds}
    groups = [
        *(
            _columns(f"{m.title[0].upper()}{m.title[1:]}", m.name, levels[m.name], evaluations)
            for m in measures
        ),
        _columns("Kind of task", "kind", known, evaluations),
    ]
    columns = [column for group in groups for column, _ in group]
    rows = tuple(
        (cells.words(e.method), *(cells.share(rates[e.method]) for group in groups for _, rates in group))
        for e in evaluations
    )
    note = "Win rate on the test set. Small print: 95 % intervals over seeds and tasks."
    return Table("difficulty", (Column("Method", key="method", words=True), *columns), rows, note=note)


def _columns(
    heading: str, key: str, group: Mapping[str, K], evaluations: Sequence[Evaluation]
) -> list[tuple[Column, dict[str, Estimate]]]:
    """Return a column for each group of tasks, in order, and the win rate of each method in it."""
    rates = win_rate_by_group(group, evaluations)
    sizes = Counter(group.values())
    return [
        (Column(f"{g} (n = {sizes[g]:,})", heading, f"{key} {g}"), {m: of[g] for m, of in rates.items()})
        for g in sorted(sizes)
    ]
