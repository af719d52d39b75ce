"""A report's tables, and what stands in them: an estimate, a gap, an amount, in words and as numbers.

share, score, gap, …     cells: below a share stands its interval, below a gap its p, Holm's and the n that it needs
numbers                  a table as rows for a CSV file
markdown_table           as GitHub reads it
"""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

import msgspec

from eefcore.evaluation.formatting import compact, duration, interval, p_value, percent, signed
from eefcore.evaluation.stats import Difference, Estimate

Number = float | int | str | bool


class Cell(msgspec.Struct, frozen=True):
    """What stands in a table: the words, smaller words below, and the numbers of the CSV file.

    `values` names its numbers: "" is the cell's own, then `low`, `high`, `n`, `seeds`, `p`, ….
    """

    text: str
    small: tuple[str, ...] = ()
    values: dict[str, Number] = {}

    @property
    def line(self) -> str:
        """All of it in one line: `62.3 % (57.4 – 66.9)`."""
        return f"{self.text} ({'; '.join(self.small)})" if self.small else self.text


class Column(msgspec.Struct, frozen=True):
    """A heading, the heading above it, and what the CSV file calls it where the heading does not say enough."""

    name: str
    group: str = ""
    key: str = ""
    words: bool = False  # text, and not a number

    @property
    def csv(self) -> str:
        """Its name in the CSV file."""
        return self.key or self.name


class Table(msgspec.Struct, frozen=True, tag=True):
    """A table: `name` is its file's, rows of `marked` are what it is about."""

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
                    f"table {self.name}: expected {len(self.columns)} cells, got {[c.text for c in row]}"
                )

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        return markdown_table(self)


class Numbers(NamedTuple):
    """A table as a CSV file holds it; what is not known is an empty cell."""

    columns: list[str]
    rows: list[list[Number]]


def numbers(table: Table) -> Numbers:
    """The values of `table`: for each column as many as its cells have, an estimate with its ends, n and seeds."""
    keys = [
        (i, key)
        for i in range(len(table.columns))
        for key in dict.fromkeys(key for row in table.rows for key in row[i].values)
    ]
    names = [f"{table.columns[i].csv} {key}".strip() for i, key in keys]
    return Numbers(names, [[_known(row[i].values.get(key, "")) for i, key in keys] for row in table.rows])


def markdown_table(table: Table) -> str:
    """The table as GitHub reads it; of columns that share a heading each has the one above in front of it."""
    names = Counter(c.name for c in table.columns)
    head = [f"{c.group} {c.name}".strip() if names[c.name] > 1 else c.name for c in table.columns]
    rule = ["---" if c.words else "---:" for c in table.columns]
    body = [[cell.line for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(map(_escaped, row))} |" for row in (head, rule, *body))


# ------------------------------------------------------------------------------ cells

BLANK = Cell("–")
TOLD = 0.05  # p below which a gap is told from chance


def words(text: str, *small: str) -> Cell:
    """Text."""
    return Cell(text, small, {"": text})


def named(name: str, estimate: Estimate) -> Cell:
    """A method's name, and over how many tasks and seeds its row is."""
    return Cell(name, (panel(estimate),), {"": name})


def panel(estimate: Estimate) -> str:
    """`n = 400 × 5 seeds`."""
    seeds = f" × {estimate.seeds} seeds" if estimate.seeds > 1 else ""
    return f"n = {estimate.n:,}{seeds}"


def share(estimate: Estimate) -> Cell:
    """A share in per cent."""
    return _estimate(estimate, percent(estimate.value), interval(estimate))


def score(estimate: Estimate, digits: int = 2) -> Cell:
    """A mean in its own units."""
    return _estimate(estimate, f"{estimate.value:.{digits}f}", interval(estimate, 1, digits))


def gap(
    difference: Difference,
    *,
    scale: float = 100,
    digits: int = 1,
    holm: float = math.nan,
    needs: int | None = None,
) -> Cell:
    """A difference: of win rates in points; with p, p corrected, and the n that would tell it where n does not."""
    if not difference.n:
        return BLANK
    low, high = (signed(x, scale, digits) for x in (difference.low, difference.high))
    small, values = [f"{low} to {high}", p_value(difference.p)], difference._asdict()
    if not math.isnan(holm):
        small.append(p_value(holm).replace("p", "Holm"))
        values["holm"] = holm
    if needs:
        small.append(f"needs n ≥ {needs:,}")
        values["needs n"] = needs
    return Cell(signed(difference.value, scale, digits), tuple(small), _own(values))


def count(number: float, *small: str, digits: int = 0) -> Cell:
    """A number as it is."""
    return BLANK if math.isnan(number) else Cell(f"{number:,.{digits}f}", small, {"": number})


def amount(number: float, what: str = "", **also: tuple[float, str]) -> Cell:
    """A large number, and what it is counted in; `also` are further amounts with their units, by their CSV names."""
    small = [what] * bool(what) + [f"{compact(value)} {unit}" for value, unit in also.values()]
    return Cell(compact(number), tuple(small), {"": number, **{k: value for k, (value, _) in also.items()}})


def time(seconds: float, money: float) -> Cell:
    """Wall time, and what the experts were paid."""
    return Cell(duration(seconds), (f"expert ${money:.2f}",), {"": seconds, "expert $": money})


def _estimate(estimate: Estimate, text: str, interval: str) -> Cell:
    if math.isnan(estimate.value):
        return BLANK
    return Cell(text, (interval,), _own(estimate._asdict()))


def _own(values: dict[str, Number]) -> dict[str, Number]:
    return {"" if name == "value" else name: value for name, value in values.items()}


def _known(value: Number) -> Number:
    return "" if isinstance(value, float) and not math.isfinite(value) else value


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
