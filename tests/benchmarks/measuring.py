"""A table of measurements beside somebody else's, for the benchmarks of environments."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

MB = 1e6


class Row(NamedTuple):
    """A line of the table: what, how much of which unit by CPU and by wall, the peer's figure, and what is asked for."""

    what: str
    value: float
    unit: str
    wall: float | None = None
    peer: float | None = None
    asked: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer: more of a rate, less of anything else."""
        if self.peer is None:
            return None
        return self.value / self.peer if self.unit == "/s" else self.peer / self.value


class Took(NamedTuple):
    """Seconds of the processor and of the wall."""

    cpu: float
    wall: float


def each(function: Callable, items: Iterable) -> None:
    """Calls `function` on every item."""
    for item in items:
        function(item)


def told(rows: Sequence[Row], peer: str, out: Path | None) -> None:
    """Prints the table, the figures of `peer` in a column of that name, and writes it to `out` as JSON."""
    print(f"{'':18}{'here':>14}{'wall':>14}{peer:>12}{'ratio':>9}  asked")
    for row in rows:
        wall, theirs = ("" if x is None else f"{x:,.1f}" for x in (row.wall, row.peer))
        ratio = "" if row.ratio is None else f"{row.ratio:,.1f}x"
        print(f"{row.what:18}{row.value:>11,.1f} {row.unit:2}{wall:>14}{theirs:>12}{ratio:>9}  {row.asked}")
    if out:
        content = [
            {peer if k == "peer" else k: v for k, v in r._asdict().items()} | {"ratio": r.ratio} for r in rows
        ]
        out.write_text(json.dumps(content, indent=1) + "\n")
