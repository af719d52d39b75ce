"""Report the calibration of scripted experts: their figures beside the published ones, and how they fail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from eefcore.evaluation import stats
from eefcore.evaluation.formatting import signed
from eefcore.evaluation.metrics import win_rate, win_rate_by
from eefcore.evaluation.stats import Estimate
from eefcore.experts.calibration import Calibration
from eefcore.experts.registry import experts_of
from eefcore.figures import evaluation
from eefcore.figures.plots import Plot
from eefcore.protocols import Benchmark
from eefcore.reports.document import blocks, cells
from eefcore.reports.document.blocks import Document, Facts, Figure, Section, chapter
from eefcore.reports.document.cells import Cell, Column, Table
from eefcore.types import Trajectory, Value

_FIGURE = "Ours − the paper’s in 95 % sampling errors of the difference. In the green band both agree; a hollow point lies outside."
_AGREES = (
    "Both agree if the 95 % interval of their difference holds 0. It has the sampling errors of both: ours, and that of the "
    "paper’s own n, where it prints one; otherwise its figure is taken as exact. The paper prints no spread of a length or a reward, so ours stands for it. Small print: 95 % intervals, "
    "Wilson’s for shares, of a bootstrap over tasks for means."
)

Played = Mapping[str, Sequence[Trajectory]]
"""The trajectories of each expert, one a task."""


class CalibrationReport(NamedTuple):
    """The report of a calibration, and the plots behind its figures by the stems of their files."""

    document: Document
    plots: dict[str, Plot]

    @property
    def tables(self) -> list[Table]:
        """All tables of the report, in order; the first sets ours beside the published figures."""
        return blocks.tables(self.document)


def calibration_report(
    worlds: Mapping[int, Benchmark],
    played: Played,
    calibrations: Sequence[Calibration],
    *,
    parameters: Mapping[str, Value],
) -> CalibrationReport:
    """Build the report of a calibration.

    Args:
        worlds: the benchmarks whose training tasks were played, by their seeds.
        played: the experts' trajectories, one a task.
        parameters: of the notebook, which make the results again.
    """
    first = next(iter(worlds.values()))
    kinds = {task: kind for world in worlds.values() for task, kind in experts_of(world).kinds(world).items()}
    figure = Figure("calibration", _FIGURE, evaluation.calibration(calibrations))
    comparison = chapter(
        "calibration", "Beside the published figures", calibration_table(calibrations), figure
    )
    sections = (
        comparison.section,
        Section("mistakes", "How the experts fail", (_settings(first, list(played)), _mistakes(played))),
        Section("kinds", "By kind of task", (_by_kind(kinds, played),)),
        Section("worlds", "Environment cards", (_worlds(worlds),)),
        Section("again", "Parameters of notebooks/15_calibrate", (Facts(_as_text(parameters)),)),
    )
    agreeing = sum(c.agrees for c in calibrations)
    sizes = ", ".join(f"{len(trajectories):,} of {name}" for name, trajectories in played.items())
    headline = (
        f"{agreeing} of {len(calibrations)} published figures agree with the scripted experts’ within sampling error "
        f"(training tasks played: {sizes})."
    )
    title = f"Calibration of the scripted experts of {first.card.name}"
    return CalibrationReport(Document(title, headline, _outside(calibrations), sections), comparison.plots)


def _as_text(parameters: Mapping[str, Value]) -> dict[str, str]:
    return {name: "none" if value in (None, "") else str(value) for name, value in parameters.items()}


def calibration_table(calibrations: Sequence[Calibration]) -> Table:
    """Return a row for each published figure: the paper's, ours, and whether the difference is within sampling error."""
    columns: cells.Columns[Calibration] = [
        (Column("expert", words=True), lambda c: cells.words(c.expert)),
        (Column("quantity", words=True), lambda c: cells.words(c.figure.quantity.name)),
        (Column("source", words=True), lambda c: cells.words(c.figure.source)),
        (Column("paper"), lambda c: Cell(c.in_units(c.published.value), (), {"": c.published.value})),
        (Column("paper’s n"), lambda c: cells.count(c.figure.n or math.nan)),
        (Column("ours"), lambda c: (cells.share if c.figure.quantity.share else cells.score)(c.ours)),
        (Column("n"), lambda c: cells.count(c.ours.n)),
        (Column("difference"), _gap),
        (Column("agrees", words=True), lambda c: cells.words("yes" if c.agrees else "no")),
    ]
    return cells.make_table(
        "calibration",
        columns,
        calibrations,
        title="Scripted experts and the experts that they stand for",
        note=_AGREES,
    )


def _gap(c: Calibration) -> Cell:
    """Return ours - the paper's: of shares in points, of means in their own units."""
    scale, digits = (100, 1) if c.figure.quantity.share else (1, 2)
    value, low, high = (signed(x, scale, digits) for x in c.gap)
    return Cell(value, (f"{low} to {high}",), {"": c.gap.value, "low": c.gap.low, "high": c.gap.high})


def _outside(calibrations: Sequence[Calibration]) -> tuple[str, ...]:
    """Say which figures do not agree."""
    found = [
        f"{c.expert}, {c.figure.quantity.name}: {c.in_units(c.ours.value)}, {c.figure.source} "
        f"{c.in_units(c.figure.value)}"
        for c in calibrations
        if not c.agrees
    ]
    return (f"Outside: {'; '.join(found)}.",) if found else ()


def _settings(world: Benchmark, names: Sequence[str]) -> Table:
    """Return the habits and the rates of mistakes with which the experts played, one column an expert."""
    settings = {name: experts_of(world).settings(name) for name in names}
    rows = list(dict.fromkeys(setting for of in settings.values() for setting in of))
    columns: cells.Columns[str] = [
        (Column("setting", words=True), cells.words),
        *(
            (Column(name), lambda setting, of=of: Cell(f"{of[setting]:g}", (), {"": of[setting]}))
            for name, of in settings.items()
        ),
    ]
    return cells.make_table("settings", columns, rows, title="Habits and rates of mistakes")


class _Mistake(NamedTuple):
    """A mistake of an expert: whether each trajectory has it, and the win rate of those that do."""

    expert: str
    kind: str
    made: Estimate
    won: Estimate


def _mistakes(played: Played) -> Table:
    """Return how often each mistake was made, and how often the task was won nevertheless."""
    rows = [
        _Mistake(
            name,
            kind,
            stats.rate(np.array([[float(i in having) for i in range(len(trajectories))]])),
            win_rate([trajectories[i] for i in having]),
        )
        for name, trajectories in played.items()
        for kind, having in _by_mistake(trajectories).items()
    ]
    columns: cells.Columns[_Mistake] = [
        (Column("expert", words=True), lambda m: cells.words(m.expert)),
        (Column("mistake", words=True), lambda m: cells.words(m.kind)),
        (Column("trajectories that make it"), lambda m: cells.share(m.made)),
        (Column("win rate of these"), lambda m: cells.share(m.won)),
    ]
    return cells.make_table("mistakes", columns, rows, title="Mistakes, and what became of them")


def _by_mistake(trajectories: Sequence[Trajectory]) -> dict[str, list[int]]:
    """Return the indices of the trajectories that make each mistake, mistakes sorted."""
    kinds = sorted({mark.kind for t in trajectories for mark in t.marks})
    return {
        kind: [i for i, t in enumerate(trajectories) if any(mark.kind == kind for mark in t.marks)]
        for kind in kinds
    }


class _Kind(NamedTuple):
    """A kind of task: the expert that played it, its win rate, and the mean length of its trajectories."""

    expert: str
    name: str
    wins: Estimate
    length: Estimate


def _by_kind(kinds: Mapping[str, str], played: Played) -> Table:
    """Return the win rate and the length for each kind of task."""
    rows = [
        _Kind(name, kind, wins, _length([t for t in trajectories if kinds[t.task_id] == kind]))
        for name, trajectories in played.items()
        for kind, wins in win_rate_by(kinds, trajectories).items()
    ]
    columns: cells.Columns[_Kind] = [
        (Column("expert", words=True), lambda k: cells.words(k.expert)),
        (Column("kind", words=True), lambda k: cells.words(k.name)),
        (Column("tasks"), lambda k: cells.count(k.wins.n)),
        (Column("win rate"), lambda k: cells.share(k.wins)),
        (Column("length"), lambda k: cells.score(k.length, 1)),
    ]
    return cells.make_table("by_kind", columns, rows)


def _length(trajectories: Sequence[Trajectory]) -> Estimate:
    return stats.mean(np.array([[float(len(t)) for t in trajectories]]))


def _worlds(worlds: Mapping[int, Benchmark]) -> Table:
    """Return the environment card of each world."""
    columns: cells.Columns[tuple[int, Benchmark]] = [
        (Column("seed"), lambda w: cells.count(w[0])),
        (Column("card", words=True), lambda w: cells.words(w[1].card.key)),
        (Column("training tasks"), lambda w: cells.count(len(w[1].tasks("train")))),
    ]
    return cells.make_table("worlds", columns, worlds.items())
