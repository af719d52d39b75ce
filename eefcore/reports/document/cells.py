"""Build the tables of a report: each cell has words to read and numbers for a CSV file.

`make_table` puts columns of cells together. Below a `share` stands its interval, below a `gap` its p, Holm's p and the n
that it needs. `csv_rows` and `markdown_table` write a table as a CSV file and as GitHub reads it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from eefcore.evaluation.formatting import compact, duration, interval, p_value, percent, signed
from eefcore.evaluation.stats import Difference, Estimate
from eefcore.reports.document.escaping import escape_line

Number = float | int | str | bool
R = TypeVar("R")


class Cell(msgspec.Struct, frozen=True):
    """One cell of a table: the words, smaller words below them, and the numbers of the CSV file.

    `values` holds the numbers by name: "" is the cell's own number, others are `low`, `high`, `n`, `seeds`, `p`, ….
    """

    text: str
    small: tuple[str, ...] = ()
    values: dict[str, Number] = {}

    @property
    def line(self) -> str:
        """The whole cell in one line: `62.3 % (57.4 – 66.9)`."""
        return f"{self.text} ({'; '.join(self.small)})" if self.small else self.text


class Column(msgspec.Struct, frozen=True):
    """A column's heading, the heading above it, and its name in the CSV file where the heading alone is not enough."""

    name: str
    group: str = ""
    key: str = ""
    words: bool = False  # the column holds text and no numbers

    @property
    def csv(self) -> str:
        """The column's name in the CSV file."""
        return self.key or self.name


class Table(msgspec.Struct, frozen=True, tag=True):
    """A table: `name` is the stem of its file, `marked` the indices of the rows that it is about."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    note: str = ""
    marked: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.name}: expected {len(self.columns)} cells in a row, got {[c.text for c in row]}"
                )

    def _repr_markdown_(self) -> str:
        """Return the table as a notebook shows it."""
        return markdown_table(self)


Columns = Sequence[tuple[Column, Callable[[R], Cell]]]
"""Headings, each with the function that makes the cell of a row below it."""


def make_table(
    name: str,
    columns: Columns[R],
    rows: Iterable[R],
    *,
    title: str = "",
    note: str = "",
    marked: Iterable[int] = (),
) -> Table:
    """Return a table with one row for each of `rows`, which the functions of `columns` turn into cells."""
    return Table(
        name,
        tuple(column for column, _ in columns),
        tuple(tuple(cell(row) for _, cell in columns) for row in rows),
        title,
        note,
        tuple(marked),
    )


class CsvRows(NamedTuple):
    """A table as a CSV file holds it; an unknown number is an empty cell."""

    columns: list[str]
    rows: list[list[Number]]


def csv_rows(table: Table) -> CsvRows:
    """Return the numbers of `table`: each column becomes as many as its cells have numbers, such as interval, n and seeds."""
    keys = [
        (i, key)
        for i in range(len(table.columns))
        for key in dict.fromkeys(key for row in table.rows for key in row[i].values)
    ]
    names = [f"{table.columns[i].csv} {key}".strip() for i, key in keys]
    return CsvRows(names, [[_finite(row[i].values.get(key, "")) for i, key in keys] for row in table.rows])


def markdown_table(table: Table) -> str:
    """Return the table in GitHub's Markdown; columns that share a heading are prefixed with the heading above."""
    names = Counter(c.name for c in table.columns)
    head = [f"{c.group} {c.name}".strip() if names[c.name] > 1 else c.name for c in table.columns]
    rule = ["---" if c.words else "---:" for c in table.columns]
    body = [[_escaped(cell.line) for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (map(_escaped, head), rule, *body))


# ------------------------------------------------------------------------------ cells

BLANK = Cell("–")
SIGNIFICANCE = 0.05
"""A difference is called significant when its Holm-corrected p is below this."""


def words(text: str, *small: str) -> Cell:
    """Return a cell of text."""
    return Cell(text, small, {"": text})


def method(name: str, estimate: Estimate) -> Cell:
    """Return a cell with a method's name and the number of tasks and seeds behind its row."""
    return Cell(name, (panel_size(estimate),), {"": name})


def panel_size(estimate: Estimate) -> str:
    """Return the number of tasks and seeds behind an estimate, as `n = 400 × 5 seeds`."""
    seeds = f" × {estimate.seeds} seeds" if estimate.seeds > 1 else ""
    return f"n = {estimate.n:,}{seeds}"


def share(estimate: Estimate) -> Cell:
    """Return a cell with a share in per cent."""
    return _estimate(estimate, percent(estimate.value), interval(estimate))


def score(estimate: Estimate, digits: int = 2) -> Cell:
    """Return a cell with a mean in its own units."""
    return _estimate(estimate, f"{estimate.value:.{digits}f}", interval(estimate, 1, digits))


def gap(
    difference: Difference,
    *,
    scale: float = 100,
    digits: int = 1,
    holm: float = math.nan,
    needs: int | None = None,
) -> Cell:
    """Return a cell with a paired difference (of win rates in points), its p, Holm's p, and the n at which it would be significant."""
    if not difference.n:
        return BLANK
    low, high = (signed(x, scale, digits) for x in (difference.low, difference.high))
    small = [f"{low} to {high}", p_value(difference.p)]
    values = numbers(difference)
    if not math.isnan(holm):
        small.append(p_value(holm).replace("p", "Holm"))
        values["holm"] = holm
    if needs:
        small.append(f"needs n ≥ {needs:,}")
        values["needs n"] = needs
    return Cell(signed(difference.value, scale, digits), tuple(small), values)


def count(number: float, *small: str, digits: int = 0) -> Cell:
    """Return a cell with a plain number."""
    return BLANK if math.isnan(number) else Cell(f"{number:,.{digits}f}", small, {"": number})


def amount(number: float, what: str = "", **also: tuple[float, str]) -> Cell:
    """Return a cell with a large number and its unit; `also` holds further amounts with their units, by their CSV names."""
    small = [what] * bool(what) + [f"{compact(value)} {unit}" for value, unit in also.values()]
    return Cell(compact(number), tuple(small), {"": number, **{k: value for k, (value, _) in also.items()}})


def time(seconds: float, money: float) -> Cell:
    """Return a cell with wall time, and below it what the experts were paid."""
    return Cell(duration(seconds), (f"expert ${money:.2f}",), {"": seconds, "expert $": money})


def numbers(found: Estimate | Difference) -> dict[str, Number]:
    """Return the numbers of an estimate for the CSV file; its value has no name of its own."""
    return {"" if name == "value" else name: value for name, value in found._asdict().items()}


def _estimate(estimate: Estimate, text: str, interval: str) -> Cell:
    return BLANK if math.isnan(estimate.value) else Cell(text, (interval,), numbers(estimate))


def _finite(value: Number) -> Number:
    return "" if isinstance(value, float) and not math.isfinite(value) else value


def _escaped(text: str) -> str:
    return escape_line(text).replace("|", "\\|")
