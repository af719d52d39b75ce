"""Win rate by how hard a task is, of every method: EEF's simplicity bias as a figure and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eefcore.metrics import Evaluation
from eefcore.reports import cells, why
from eefcore.reports.cells import Column, Table
from eefcore.reports.chapters import Drawn
from eefcore.reports.document import Prose
from eefcore.reports.plots import Plot
from eefcore.reports.suite_figures import by_difficulty
from eefcore.reports.why import Difficulty
from eefcore.stats import Estimate
from eefcore.types import Trajectory


def blocks(
    evaluations: Sequence[Evaluation],
    solutions: Sequence[Trajectory],
    kinds: Mapping[str, str],
    skills: Mapping[str, str],
) -> list[Prose | Drawn | Table]:
    """By page, by steps and by kind; `solutions` are a perfect expert's on the tasks of the panel."""
    hard = why.difficulty(solutions, skills)
    pages = why.won_by({task: d.page for task, d in hard.items()}, evaluations)
    steps = why.won_by({task: d.steps for task, d in hard.items()}, evaluations)
    return [
        Prose(_BIAS),
        Drawn(
            "by_page",
            "Win rate by the page that the right product is on.",
            _by(pages, "page of the right product"),
        ),
        Drawn(
            "by_steps", "Win rate by the actions that a solution needs.", _by(steps, "steps of a solution")
        ),
        _table(evaluations, hard, kinds),
    ]


_BIAS = (
    "Simplicity bias: behaviour cloning and rejection sampling keep what is easy to solve. What the right product’s "
    "page and the shortest solution ask of a task, told by a perfect expert, makes it visible."
)


def _by(rates: Mapping[str, Mapping[int, Estimate]], what: str) -> Plot:
    return by_difficulty({m: of for m, of in rates.items() if not m.startswith("expert: ")}, what)


def _table(
    evaluations: Sequence[Evaluation], hard: Mapping[str, Difficulty], kinds: Mapping[str, str]
) -> Table:
    groups: dict[str, dict[str, int | str]] = {
        "Page of the right product": {task: d.page for task, d in hard.items()},
        "Steps of a solution": {task: d.steps for task, d in hard.items()},
        "Kind of task": {task: kinds[task] for task in hard if task in kinds},
    }
    rates = {name: why.won_by(group, evaluations) for name, group in groups.items()}
    keys = [(name, key) for name, group in groups.items() for key in sorted(set(group.values()))]
    sizes = {(name, key): sum(v == key for v in groups[name].values()) for name, key in keys}
    columns = tuple(
        Column(f"{key} (n = {sizes[name, key]:,})", name, f"{name.split()[0].lower()} {key}")
        for name, key in keys
    )
    rows = tuple(
        (cells.words(e.method), *(cells.share(rates[name][e.method][key]) for name, key in keys))
        for e in evaluations
    )
    note = "Win rate on the test panel. Small print: 95 % intervals over seeds and tasks."
    return Table("difficulty", (Column("Method", key="method", words=True), *columns), rows, note=note)
