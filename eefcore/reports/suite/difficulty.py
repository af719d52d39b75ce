"""Win rate by how hard a task is, of every method: EEF's simplicity bias as a figure and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eefcore.evaluation.metrics import Evaluation
from eefcore.evaluation.stats import Estimate
from eefcore.experts.registry import Measure
from eefcore.figures.plots import Plot
from eefcore.figures.suite import by_difficulty
from eefcore.reports import why
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Prose
from eefcore.reports.document.cells import Column, Table
from eefcore.reports.sections import Drawn
from eefcore.types import Trajectory


def blocks(
    evaluations: Sequence[Evaluation],
    solutions: Sequence[Trajectory],
    kinds: Mapping[str, str],
    measures: Sequence[Measure],
) -> list[Prose | Drawn | Table]:
    """By each of `measures` and by kind; `solutions` are a perfect expert's on the tasks of the panel, or nothing is told."""
    if not any(t.win for t in solutions):
        return []
    hard = {m.name: why.difficulty(solutions, m) for m in measures}
    asked = f"{' and '.join(m.asked for m in measures)} {'ask' if len(measures) > 1 else 'asks'}"
    return [
        Prose(_BIAS.format(asked)),
        *(
            Drawn(
                f"by_{m.name}",
                f"Win rate by {m.phrase}.",
                _by(why.won_by(hard[m.name], evaluations), m.title),
            )
            for m in measures
        ),
        _table(evaluations, measures, hard, kinds),
    ]


_BIAS = (
    "Simplicity bias: behaviour cloning and rejection sampling keep what is easy to solve. What {} of a task, told by "
    "a perfect expert, makes it visible."
)


def _by(rates: Mapping[str, Mapping[int, Estimate]], what: str) -> Plot:
    return by_difficulty({m: of for m, of in rates.items() if not m.startswith("expert: ")}, what)


def _table(
    evaluations: Sequence[Evaluation],
    measures: Sequence[Measure],
    hard: Mapping[str, Mapping[str, int]],
    kinds: Mapping[str, str],
) -> Table:
    tasks = next(iter(hard.values()))
    groups: dict[str, Mapping[str, int | str]] = {
        **{f"{m.title[0].upper()}{m.title[1:]}": hard[m.name] for m in measures},
        "Kind of task": {task: kinds[task] for task in tasks if task in kinds},
    }
    short = dict(zip(groups, (*(m.name for m in measures), "kind"), strict=True))
    rates = {name: why.won_by(group, evaluations) for name, group in groups.items()}
    keys = [(name, key) for name, group in groups.items() for key in sorted(set(group.values()))]
    sizes = {(name, key): sum(v == key for v in groups[name].values()) for name, key in keys}
    columns = tuple(
        Column(f"{key} (n = {sizes[name, key]:,})", name, f"{short[name]} {key}") for name, key in keys
    )
    rows = tuple(
        (cells.words(e.method), *(cells.share(rates[name][e.method][key]) for name, key in keys))
        for e in evaluations
    )
    note = "Win rate on the test panel. Small print: 95 % intervals over seeds and tasks."
    return Table("difficulty", (Column("Method", key="method", words=True), *columns), rows, note=note)
