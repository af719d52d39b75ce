"""Keep which test tasks each method won in each seed, small enough to publish: win rates can be computed from it again.

    seed, run, method, settings, code, card, <task>, <task>, …      one line a seed and method, one column a test task
    0, mini_methods, EEF, 5f0c1a7e, 90b2d3c4, 78a00f12, 1, 0, …     1 is a win; an empty cell was lost to the infrastructure

`settings` and `code` are hashes of the parameters and of the code of the method's stages, without the seed; `card` is the
key of the environment card. Lines of the same run, method, settings and card may be pooled as seeds of one method.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from eefcore.errors import StoreError
from eefcore.evaluation.panel import Evaluation, panel_tasks, score_matrix
from eefcore.reports.evidence import Method, Sections
from eefcore.storage.disk import read_bytes, write_atomically
from eefcore.types import Card, History, StopReason, Trajectory

FILE = "wins.csv"
"""The name of the file in a report's stage and in its published folder."""

_COLUMNS = ("seed", "run", "method", "settings", "code", "card")


class Outcome(NamedTuple):
    """What a method won in one seed: 1, 0 or NaN for each task of the panel."""

    seed: int
    run: str
    method: str
    settings: str
    code: str
    card: str
    wins: tuple[float, ...]


class Outcomes(NamedTuple):
    """The test tasks, and what each method won of them in each seed."""

    tasks: tuple[str, ...]
    rows: tuple[Outcome, ...]

    @property
    def runs(self) -> list[str]:
        """The stems of the params files, in order."""
        return list(dict.fromkeys(row.run for row in self.rows))

    def evaluations(self, run: str) -> list[Evaluation]:
        """Return the evaluations of the methods of a run, whose trajectories know how they ended and nothing else."""
        methods: dict[str, list[Outcome]] = {}
        for row in self.rows:
            if row.run == run:
                methods.setdefault(row.method, []).append(row)
        return [
            Evaluation(
                name,
                Card("published", {"key": rows[0].card}),
                tuple(
                    [_ended(task, won) for task, won in zip(self.tasks, r.wins, strict=True)] for r in rows
                ),
                tuple(r.seed for r in rows),
            )
            for name, rows in methods.items()
        ]


def _ended(task: str, won: float) -> Trajectory:
    if math.isnan(won):
        return Trajectory(history=History(task, ""), reward=0.0, stop=StopReason.ENVIRONMENT_FAILURE)
    return Trajectory(history=History(task, ""), reward=won)


def collect_outcomes(methods: Sections, experts: Sequence[Evaluation] = ()) -> Outcomes:
    """Return what every method of a report won in each seed; `experts` stand in its first table, before the methods."""
    runs = [(stem, run) for section in methods.values() for stem, run in section.items()]
    (first, main), *_ = runs
    tasks = panel_tasks([r for _, run in runs for m in run for r in m.evaluation.runs])
    cloned_by = {
        m.seeds: m for m in reversed(main)
    }  # a method with the seeds of an expert is there: it was read there
    rows = [row for e in experts for row in _rows(first, cloned_by[e.seeds], e, tasks)]
    rows += [row for stem, run in runs for m in run for row in _rows(stem, m, m.evaluation, tasks)]
    return Outcomes(tasks, tuple(rows))


def _rows(run: str, method: Method, evaluation: Evaluation, tasks: Sequence[str]) -> list[Outcome]:
    """Return a row for each seed of an evaluation; an expert's has the settings of a method that cloned it."""
    wins = score_matrix(evaluation.runs, lambda t: float(t.win), tasks)
    return [
        Outcome(
            seed,
            run,
            evaluation.method,
            method.settings,
            method.code(i),
            evaluation.card.key,
            tuple(map(float, of)),
        )
        for i, (seed, of) in enumerate(zip(evaluation.seeds, wins, strict=True))
    ]


def write_outcomes(path: Path, outcomes: Outcomes) -> None:
    """Write the outcomes to `path` as CSV."""
    rows = [
        [*about, *("" if math.isnan(won) else int(won) for won in wins)] for *about, wins in outcomes.rows
    ]
    write_atomically(path, csv_bytes([[*_COLUMNS, *outcomes.tasks], *rows]))


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows as the content of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def read_outcomes(path: Path) -> Outcomes:
    """Read the outcomes at `path`.

    Raises:
        StoreError: it is missing, or no file that `write_outcomes` wrote.
    """
    lines = list(csv.reader(io.StringIO(read_bytes(path).decode("utf-8", "replace"))))
    head = tuple(lines[0][: len(_COLUMNS)]) if lines else ()
    if head != _COLUMNS:
        raise StoreError(
            f"{path}: expected the columns {', '.join(_COLUMNS)} and the tasks, got {', '.join(head) or 'nothing'}; "
            "publish the report again, or restore the file"
        )
    tasks = tuple(lines[0][len(_COLUMNS) :])
    return Outcomes(tasks, tuple(_read_row(path, i, line, len(tasks)) for i, line in enumerate(lines[1:], 2)))


def _read_row(path: Path, number: int, line: Sequence[str], tasks: int) -> Outcome:
    wins = line[len(_COLUMNS) :]
    if len(wins) != tasks or not {*wins} <= {"", "0", "1"} or not line[0].isdecimal():
        raise StoreError(
            f"{path}, line {number}: expected a seed and {tasks} cells of 1, 0 or nothing, got {','.join(line)[:80]!r}; "
            "publish the report again, or restore the file"
        )
    seed, *about = line[: len(_COLUMNS)]
    return Outcome(int(seed), *about, tuple(float(won) if won else math.nan for won in wins))
