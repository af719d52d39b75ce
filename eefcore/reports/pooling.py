"""Publish a report with the outcomes behind it, and pool them with those that were published before.

A suite may be computed seed by seed or run by run, on several machines and over many days. `publish` copies the report,
and keeps in `wins.csv` and `cells.csv` what earlier reports of the same suite published and this one has not: other
seeds, other runs. Where there is any, the folder `pooled` holds the tables of win rates and the map over all of them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from eefcore.errors import StoreError
from eefcore.evaluation.panel import Evaluation
from eefcore.figures.plots import render_files
from eefcore.reports import comparison
from eefcore.reports.document import blocks, cells, markdown, publication
from eefcore.reports.document.blocks import Chapter, Document, chapter
from eefcore.reports.outcomes import FILE, Outcome, Outcomes, csv_bytes, read_outcomes, write_outcomes
from eefcore.reports.payoff import CellSeed, payoff_chapter
from eefcore.storage import stages
from eefcore.storage.disk import read_bytes, write_atomically

CELLS = "cells.csv"
"""The cells of the map of a suite that has one, beside `wins.csv`."""

POOLED = "pooled"
"""The folder of the tables over everything that was published, below a published report."""


class Pool(NamedTuple):
    """The outcomes of all methods and seeds, the cells of the map, and what could not be pooled, in sentences."""

    outcomes: Outcomes
    cells: tuple[CellSeed, ...] = ()
    notes: tuple[str, ...] = ()


def write_pool(folder: Path, pool: Pool) -> None:
    """Write the outcomes and cells of `pool` into `folder`."""
    write_outcomes(folder / FILE, pool.outcomes)
    if pool.cells:
        write_atomically(folder / CELLS, csv_bytes([CellSeed._fields, *pool.cells]))


def read_pool(folder: Path) -> Pool | None:
    """Read the outcomes and cells in `folder`; None if a report was published without them, or none was.

    Raises:
        StoreError: a file is damaged.
    """
    if not (folder / FILE).exists():
        return None
    return Pool(
        read_outcomes(folder / FILE), _read_cells(folder / CELLS) if (folder / CELLS).exists() else ()
    )


def _read_cells(path: Path) -> tuple[CellSeed, ...]:
    try:
        head, *lines = csv.reader(io.StringIO(read_bytes(path).decode()))
        if tuple(head) != CellSeed._fields:
            raise ValueError(f"expected the columns {', '.join(CellSeed._fields)}, got {', '.join(head)}")
        return tuple(msgspec.convert(line, CellSeed, strict=False) for line in lines)
    except ValueError as error:
        raise StoreError(f"{path}: {error}; publish the report again, or restore the file") from error


def pool_outcomes(new: Pool, earlier: Pool) -> Pool:
    """Return `new` with the rows of `earlier` that it does not have, where both can be of one table.

    A row of the earlier pool is left out, with a note, if its tasks are others, or if its method has other settings or
    another environment card in `new`. Other code is pooled, with a note: the changelog says what it changed.
    """
    mine = {(r.run, r.method, r.seed) for r in new.outcomes.rows}
    older = [r for r in earlier.outcomes.rows if (r.run, r.method, r.seed) not in mine]
    if {*new.outcomes.tasks} != {*earlier.outcomes.tasks}:
        return new._replace(
            notes=("Earlier outcomes are of other test tasks, and left out.",) if older else ()
        )
    current = {(r.run, r.method): r for r in new.outcomes.rows}
    kept, notes = [], dict[str, None]()
    for row in older:
        other = current.get((row.run, row.method))
        where = f"{row.run}: {row.method}, seed {row.seed}"
        if other and (row.settings, row.card) != (other.settings, other.card):
            notes[f"{where}, has other parameters or another environment card now, and is left out."] = None
            continue
        if other and row.code != other.code:
            notes[f"{where}, was computed by an earlier version of the code."] = None
        kept.append(_aligned(row, earlier.outcomes.tasks, new.outcomes.tasks))
    rows = _in_order([*new.outcomes.rows, *kept])
    held = {(r.run, r.method, r.seed) for r in kept}
    added = [c for c in earlier.cells if {(c.run, c.ours, c.seed), (c.run, c.other, c.seed)} <= held]
    outcomes = Outcomes(new.outcomes.tasks, tuple(rows))
    return Pool(outcomes, tuple(_cells_in_order([*new.cells, *added])), tuple(notes))


def _aligned(row: Outcome, tasks: Sequence[str], wanted: Sequence[str]) -> Outcome:
    won = dict(zip(tasks, row.wins, strict=True))
    return row._replace(wins=tuple(won[task] for task in wanted))


def _in_order(rows: Iterable[Outcome]) -> list[Outcome]:
    """Sort rows by run and method, each in the order of its first appearance, and by seed."""
    rows = list(rows)
    place = {key: i for i, key in enumerate(dict.fromkeys((r.run, r.method) for r in rows))}
    runs = {run: i for i, run in enumerate(dict.fromkeys(r.run for r in rows))}
    return sorted(rows, key=lambda r: (runs[r.run], place[r.run, r.method], r.seed))


def _cells_in_order(found: Iterable[CellSeed]) -> list[CellSeed]:
    found = list(found)
    place = {key: i for i, key in enumerate(dict.fromkeys((c.run, c.cell) for c in found))}
    return sorted(found, key=lambda c: (place[c.run, c.cell], c.seed))


# ------------------------------------------------------------------------------ the pooled tables


class PooledReport(NamedTuple):
    """The pooled tables as a document, and its chapters with their plots."""

    document: Document
    chapters: tuple[Chapter, ...]


def pooled_report(title: str, pool: Pool, baseline: str = "") -> PooledReport:
    """Return the tables of win rates of every run, and the map, computed from published outcomes alone.

    Args:
        baseline: the method that the others of a run are compared with; the first of a run that does not have it.
    """
    mapped = {c.run for c in pool.cells}
    evaluations = {run: pool.outcomes.evaluations(run) for run in pool.outcomes.runs}
    chapters = [
        chapter(run, run, win_rate_table(run, found, baseline))
        for run, found in evaluations.items()
        if run not in mapped
    ]
    if pool.cells:
        chapters.append(payoff_chapter(pool.cells, evaluations))
    seeds = sorted({row.seed for row in pool.outcomes.rows})
    headline = f"Everything that was published of {title}: the seeds {', '.join(map(str, seeds))}."
    document = Document(f"{title}, pooled", headline, pool.notes, tuple(c.section for c in chapters))
    return PooledReport(document, tuple(chapters))


def win_rate_table(run: str, found: Sequence[Evaluation], baseline: str = "") -> cells.Table:
    """Return the win rates of the methods of a run, and their gaps to the baseline, from their outcomes alone."""
    names = [e.method for e in found]
    against = baseline if baseline in names else names[0]
    result = comparison.compare_evaluations(found, {}, ours="", baseline=against)
    gap, *_ = comparison.gap_columns(result) or [None]
    win_rate, _ = comparison.score_columns()
    columns = [*comparison.method_columns(), win_rate, *([gap] if gap else [])]
    table = comparison.table(run, result, columns)
    return replace(table, note=table.note.replace(result.card.key, str(result.card.facts["key"])))


class Published(NamedTuple):
    """The folders that a report was published to, the pooled one last if there is one, and what was not pooled."""

    folders: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def publish(run: str, stage: Path) -> Published:
    """Publish the finished report stage of `run`, and pool it with what was published before.

    Raises:
        StoreError: a file is a link out of the stage, or an earlier one is damaged.
    """
    earlier = read_pool(stages.run_folder(f"published/{run}"))
    out = publication.publish(run, stage)
    new = read_pool(out)
    if new is None or earlier is None:
        return Published((out,))
    pool, pooled = pool_outcomes(new, earlier), out / POOLED
    if len(pool.outcomes.rows) == len(new.outcomes.rows):
        publication.replace_files(pooled, {})
        return Published((out,), pool.notes)
    write_pool(out, pool)
    baseline = str(stages.read_record(stage).params.get("baseline", ""))
    publication.replace_files(pooled, _files(pooled_report(run, pool, baseline)))
    return Published((out, pooled), pool.notes)


def _files(report: PooledReport) -> dict[str, bytes]:
    """Return the files of a pooled report by their names: its text, its tables and its figures."""
    files = {"report.md": markdown.render(report.document, "figures").encode("utf-8", "replace")}
    for table in blocks.tables(report.document):
        columns, rows = cells.csv_rows(table)
        files[f"tables/{table.name}.csv"] = csv_bytes([columns, *rows])
    for name, plot in (item for c in report.chapters for item in c.plots.items()):
        drawn = render_files(plot)
        files |= {f"figures/{name}.{ending}": drawn[ending] for ending in ("png", "csv")}
    return files
