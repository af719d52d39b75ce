"""Map where exploring failures pays: the gap between EEF and RFT×N in cells that differ in one thing, and its mechanism.

The run of a params file is one axis of the map. Its methods come in pairs called `EEF, <cell>` and `RFT×6, <cell>`, of
which one simulates from an expert's states and the other does not. All cells of a run differ in the same thing, which
the stages recorded: the expert, the policy (its base or the temperatures of its exploration), or the number of training tasks.

`read_cells` counts the mechanism of each cell and seed, in numbers small enough to publish (`pooling`); `payoff_chapter`
draws the map from them and from the evaluations of the methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from eefcore.errors import ParamsError
from eefcore.evaluation import metrics, stats
from eefcore.evaluation.formatting import percent, signed
from eefcore.evaluation.metrics import Comparison
from eefcore.evaluation.navigation import uses_skill
from eefcore.evaluation.panel import Evaluation
from eefcore.evaluation.stats import Estimate
from eefcore.figures import evaluation
from eefcore.figures.evaluation import GapPoint
from eefcore.protocols import Skill
from eefcore.reports import comparison
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Block, Chapter, Figure, Points, Prose, chapter
from eefcore.reports.document.cells import SIGNIFICANCE, Cell, Column, Table
from eefcore.reports.evidence import Method
from eefcore.types import Trajectory


class Axis(NamedTuple):
    """What the cells of a run may differ in: the parameters that say so, and the number along the axis of the figure."""

    name: str
    parameters: frozenset[str]
    measure: str  # the field of `CellSeed` with the place of a cell on the axis
    label: str
    scale: float  # of the measure in the figure


AXES = (
    Axis(
        "expert", frozenset({"expert"}), "navigation",
        "expert: wins among its trajectories\nthat navigate, %", 100,
    ),
    Axis(
        "policy", frozenset({"base", "t_low", "t_high", "t_expert"}), "tries",
        "policy: simulations from the start\nthat navigate, %", 100,
    ),
    Axis("tasks", frozenset({"tasks"}), "tasks", "number of training tasks", 1),
)  # fmt: skip
"""The axes of the map, in the order of the figure's panels."""


class CellSeed(NamedTuple):
    """One cell of the map in one seed: what its training data were, and what each method found in them.

    Shares are of the cell's training tasks, over all iterations. Navigation is any skill of the environment, such as Next.

    Attributes:
        run, cell: the stem of the params file, and the name of the cell there.
        ours, other: the names of the methods that do and do not explore from an expert's states.
        axis: what the cells of the run differ in.
        tasks: number of training tasks.
        navigation: wins among the expert's trajectories that navigate; NaN if none does.
        tries: share of the other method's first simulations that navigate: the policy was cloned and nothing else.
        demonstrated: share of tasks that an expert won.
        found: share of tasks that no expert won and a simulation of `ours` did; `found_other` of the other method.
        only_states: share of tasks that a simulation of `ours` from an expert's state won, and neither an expert nor one
            from the start.
        simulations: of a task, by `ours` in all iterations; `simulations_other` by the other method.
    """

    run: str
    cell: str
    seed: int
    ours: str
    other: str
    axis: str
    tasks: int
    navigation: float
    tries: float
    demonstrated: float
    found: float
    found_other: float
    only_states: float
    simulations: float
    simulations_other: float


class MapCell(NamedTuple):
    """A cell of the map over its seeds: the counts of each, the evaluations of both methods, and their comparison."""

    seeds: tuple[CellSeed, ...]
    ours: Evaluation
    other: Evaluation
    comparison: Comparison
    holm: float

    @property
    def name(self) -> str:
        """The name of the cell."""
        return self.seeds[0].cell

    @property
    def verdict(self) -> str:
        """`pays` or `costs` where the win rates differ significantly, else `noise`."""
        if not self.holm < SIGNIFICANCE:
            return "noise"
        return "pays" if self.comparison.wins.value > 0 else "costs"

    def mean(self, field: str) -> Estimate:
        """Return the mean of a count over seeds, with its interval over other seeds."""
        return stats.mean(np.array([[float(getattr(seed, field))] for seed in self.seeds]))


# ------------------------------------------------------------------------------ reading the cells


def cell_name(method: str) -> str:
    """Return the cell that a method belongs to: of `EEF, 100 tasks` it is `100 tasks`; empty if its name has no comma."""
    return method.rpartition(", ")[2] if ", " in method else ""


def read_cells(runs: Mapping[str, Sequence[Method]], skills: Mapping[str, Skill]) -> list[CellSeed]:
    """Return the cells of each run, seed by seed. A cell of which one method is not finished is left out.

    Raises:
        ParamsError: a cell is no pair, or the cells of a run differ in nothing, or in what is no axis of the map.
    """
    found = []
    for run, methods in runs.items():
        pairs = _pairs(run, methods)
        axis = _axis(run, [ours for ours, _ in pairs])
        for ours, other in pairs:
            found += _count(run, axis, ours, other, skills)
    return found


def _pairs(run: str, methods: Sequence[Method]) -> list[tuple[Method, Method]]:
    """Return the methods of each cell that do and do not explore from an expert's states."""
    by_cell: dict[str, list[Method]] = {}
    for method in methods:
        by_cell.setdefault(cell_name(method.name), []).append(method)
    pairs = []
    for name, own in by_cell.items():
        ours, others = ([m for m in own if bool(m.recipe.M) is explores] for explores in (True, False))
        if not name or len(ours) > 1 or len(others) > 1:
            raise ParamsError(
                f"{run}: expected two methods a cell, one with M above 0 and one with M: 0, as in `EEF, 100 tasks` and "
                f"`RFT×6, 100 tasks`; got {', '.join(m.name for m in own)}"
            )
        pairs += zip(ours, others, strict=False)  # only one of them may be finished
    return pairs


def _axis(run: str, methods: Sequence[Method]) -> Axis | None:
    """Return what the cells of `methods`, one a cell, differ in; None for a single cell."""
    keys = dict.fromkeys(key for m in methods for key in m.parameters)
    knobs = {key.partition(".")[2] for key in keys if len({repr(m.parameters.get(key)) for m in methods}) > 1}
    if len(methods) < 2:
        return None
    for axis in AXES:
        if knobs and knobs <= axis.parameters:
            return axis
    allowed = "; ".join(" and ".join(sorted(axis.parameters)) for axis in AXES)
    raise ParamsError(
        f"{run}: its cells differ in {', '.join(sorted(knobs)) or 'nothing'}; the cells of one file differ in one of: {allowed}"
    )


def _count(
    run: str, axis: Axis | None, ours: Method, other: Method, skills: Mapping[str, Skill]
) -> list[CellSeed]:
    """Return the counts of a cell in the seeds that both methods have."""
    by_seed = [
        dict(zip(m.seeds, zip(m.tasks(), m.demonstrations(), _simulations(m), strict=True), strict=True))
        for m in (ours, other)
    ]
    found = []
    for seed in (s for s in ours.seeds if s in by_seed[1]):
        tasks, experts, simulated = by_seed[0][seed]
        _, _, alone = by_seed[1][seed]
        demonstrated = {t.task_id for t in experts if t.win}
        from_start = _won(t for of in simulated for t in of if not t.n_expert)
        from_states = _won(t for of in simulated for t in of if t.n_expert)
        found_other = _won(t for of in alone for t in of)
        navigates = [t for t in experts if _navigates(t, skills)]
        n = len(tasks)
        found.append(
            CellSeed(
                run=run,
                cell=cell_name(ours.name),
                seed=seed,
                ours=ours.name,
                other=other.name,
                axis=axis.name if axis else "",
                tasks=n,
                navigation=_share(sum(t.win for t in navigates), len(navigates)),
                tries=_share(sum(_navigates(t, skills) for t in alone[0]), len(alone[0])),
                demonstrated=len(demonstrated) / n,
                found=len((from_start | from_states) - demonstrated) / n,
                found_other=len(found_other - demonstrated) / n,
                only_states=len(from_states - from_start - demonstrated) / n,
                simulations=sum(map(len, simulated)) / n,
                simulations_other=sum(map(len, alone)) / n,
            )
        )
    return found


def _simulations(method: Method) -> list[list[list[Trajectory]]]:
    """Return the simulations of each seed, a list an iteration."""
    iterations = [method.simulations(i) for i in method.numbered("simulations")]
    return [list(of_seed) for of_seed in zip(*iterations, strict=True)]


def _won(simulations: Iterable[Trajectory]) -> set[str]:
    return {t.task_id for t in simulations if t.win}


def _navigates(t: Trajectory, skills: Mapping[str, Skill]) -> bool:
    return any(uses_skill(t, skill) for skill in skills.values())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


# ------------------------------------------------------------------------------ the map


def payoff_chapter(found: Sequence[CellSeed], evaluations: Mapping[str, Sequence[Evaluation]]) -> Chapter:
    """Return the map: a figure with a panel for each axis, a table for each run, and what both say in words.

    Args:
        found: the cells of all runs.
        evaluations: those of the methods of each run, by its stem.
    """
    runs = {run: map_cells([c for c in found if c.run == run], evaluations[run]) for run in _runs(found)}
    axis_of = {
        c.run: c.axis for c in found if c.axis
    }  # a cell that was alone in its report has none of its own
    by_axis = {
        axis: [c for run, of in runs.items() if axis_of.get(run) == axis.name for c in of] for axis in AXES
    }
    panels = {axis.label: [_point(axis, c) for c in of] for axis, of in by_axis.items() if of}
    parts: list[Block | Figure] = []
    if panels:
        parts.append(Figure("map", _CAPTION, evaluation.gaps(panels)))
    for run, of in runs.items():
        parts += [payoff_table(run, of), Points(tuple(map(_sentence, of)))]
    return chapter("map", "When exploring failures pays", *(parts or [Prose("No cell is finished.")]))


_CAPTION = (
    "Points: win rate of EEF minus that of RFT×N on the same test tasks and seeds, with 95 % intervals; full where the "
    "difference is significant. Dashes: share of the training tasks that only a simulation from an expert’s state won."
)


def _runs(found: Sequence[CellSeed]) -> list[str]:
    return list(dict.fromkeys(c.run for c in found))


def map_cells(found: Sequence[CellSeed], evaluations: Sequence[Evaluation]) -> list[MapCell]:
    """Return the cells of one run with the comparison of each, p corrected for all of them."""
    by_name = {e.method: e for e in evaluations}
    by_cell: dict[str, list[CellSeed]] = {}
    for one in found:
        by_cell.setdefault(one.cell, []).append(one)
    pairs = [(by_name[of[0].ours], by_name[of[0].other]) for of in by_cell.values()]
    compared = [metrics.compare(ours, other) for ours, other in pairs]
    corrected = stats.holm([c.wins.p for c in compared])
    return [
        MapCell(tuple(of), *pair, c, holm)
        for of, pair, c, holm in zip(by_cell.values(), pairs, compared, corrected, strict=True)
    ]


def payoff_table(run: str, found: Sequence[MapCell]) -> Table:
    """Return the cells of one run as a table: where each lies, both win rates, the gap, and what the methods found."""
    first = found[0].seeds[0]
    ours, other = (name.rpartition(", ")[0] for name in (first.ours, first.other))
    place, tasks = "Where", "Share of training tasks"
    columns: cells.Columns[MapCell] = [
        (Column("Cell", key="cell", words=True), lambda c: cells.method(c.name, metrics.win_rate(*c.ours.runs))),
        (Column("expert’s navigation wins", place), lambda c: _percent(c.mean("navigation"))),
        (Column("policy navigates", place), lambda c: _percent(c.mean("tries"))),
        (Column("training tasks", place), lambda c: cells.count(c.mean("tasks").value)),
        (Column(ours, "Win rate", f"{ours} win rate"), lambda c: cells.share(metrics.win_rate(*c.ours.runs))),
        (Column(other, "Win rate", f"{other} win rate"), lambda c: cells.share(metrics.win_rate(*c.other.runs))),
        (Column(f"{ours} − {other}", key="gap"), _gap),
        (Column("", key="verdict", words=True), lambda c: cells.words(c.verdict)),
        (Column("an expert won", tasks), lambda c: _percent(c.mean("demonstrated"))),
        (Column(f"{other} found", tasks), lambda c: _percent(c.mean("found_other"))),
        (Column(f"{ours} found", tasks), lambda c: _percent(c.mean("found"))),
        (Column("only from an expert’s state", tasks), lambda c: _percent(c.mean("only_states"))),
        (Column(ours, "Simulations a task", f"{ours} simulations"), lambda c: _count_of(c.mean("simulations"))),
        (Column(other, "Simulations a task", f"{other} simulations"), lambda c: _count_of(c.mean("simulations_other"))),
    ]  # fmt: skip
    note = (
        f"Gaps are paired on the same test tasks and seeds, in points. Holm: p corrected for the {len(found)} cells; pays and "
        f"costs are differences with a corrected p below {SIGNIFICANCE}. Found: no expert won the task and a simulation of any "
        "iteration did. Policy navigates: the cloned model, in its simulations from the start. Small print: 95 % intervals."
    )
    return cells.make_table(f"map_{run}", columns, found, title=f"{run}: {ours} against {other}", note=note)


def _gap(c: MapCell) -> Cell:
    needs = None if c.holm < SIGNIFICANCE else c.comparison.needed_n
    return cells.gap(c.comparison.wins, holm=c.holm, needs=needs)


def _percent(estimate: Estimate) -> Cell:
    """Return a cell with a mean share; of one seed it has no interval."""
    return (
        cells.share(estimate)
        if estimate.seeds > 1
        else cells.Cell(percent(estimate.value), (), {"": estimate.value})
    )


def _count_of(estimate: Estimate) -> Cell:
    return cells.count(estimate.value, digits=1)


def _point(axis: Axis, c: MapCell) -> GapPoint:
    place = c.mean(axis.measure).value
    at = 0.0 if np.isnan(place) else axis.scale * place
    return GapPoint(c.name, at, c.comparison.wins, c.verdict != "noise", c.mean("only_states"))


_VERDICTS = {
    "pays": "exploring failures pays",
    "noise": "no significant difference",
    "costs": "exploring failures costs",
}


def _sentence(c: MapCell) -> str:
    """Say whether a cell pays, and its mechanism: what only expert states solve, and what the other method finds."""
    ours, other = (name.rpartition(", ")[0] for name in (c.seeds[0].ours, c.seeds[0].other))
    gap = c.comparison.wins
    return (
        f"{c.name}: {_VERDICTS[c.verdict]}, {signed(gap.value)} points "
        f"({comparison.gap_test(gap, c.holm)}). Only expert states solve {percent(c.mean('only_states').value)} of the training "
        f"tasks; {other} finds {percent(c.mean('found_other').value)} in {c.mean('simulations_other').value:.1f} simulations a "
        f"task, {ours} {percent(c.mean('found').value)} in {c.mean('simulations').value:.1f}."
    )
