"""Report the actions that can't be undone in the real world: where they were rehearsed, and how many were refused (Agent Q §7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Section
from eefcore.reports.document.cells import Cell, Column
from eefcore.reports.evidence import Method
from eefcore.storage import stages

_NOTE = (
    "Purchases, bookings and the like, all seeds. A search may rehearse them where the environment can be set back to a snapshot, "
    "and nowhere else: a violation is one that was tried anywhere else, and is refused. The refused are those of the test "
    "set, to which the user did not agree or nobody was there to agree."
)


class GuardCounts(NamedTuple):
    """Counts of irreversible actions: rehearsed in the searches that a method learned from and at test time, and refused."""

    learning: int
    acting: int
    violations: int
    refused: int


def guard_counts(method: Method) -> GuardCounts:
    """Count the irreversible actions of a method, as its stages logged them, over all seeds."""
    searched = [f for i in range(len(method.seeds)) for f in method.numbered("simulations", i).values()]
    return GuardCounts(
        learning=_logged(searched, "search/irreversible"),
        acting=_logged(method.tests, "decide/irreversible"),
        violations=_logged(searched, "search/violations") + _logged(method.tests, "decide/violations"),
        refused=_logged(method.tests, "eval/refused"),
    )


def irreversible_actions(methods: Sequence[Method]) -> list[Section]:
    """Return the section on irreversible actions; nothing if no method rehearsed any or was refused one."""
    counts = {m.name: guard_counts(m) for m in methods}
    if not any(map(any, counts.values())):
        return []

    def count(name: str, field: str) -> Cell:
        return cells.count(getattr(counts[name], field))

    columns: cells.Columns[str] = [
        (Column("Method", key="method", words=True), cells.words),
        (Column("while learning", "rehearsed in snapshots"), lambda m: count(m, "learning")),
        (Column("before acting", "rehearsed in snapshots"), lambda m: count(m, "acting")),
        (Column("violations"), lambda m: count(m, "violations")),
        (Column("refused"), lambda m: count(m, "refused")),
    ]
    table = cells.make_table("irreversible", columns, counts, note=_NOTE)
    return [Section("irreversible", "Actions that can’t be undone", (table,))]


def _logged(folders: Iterable[Path], key: str) -> int:
    """Return the sum of a logged number over stages; a stage that logs none counts as 0."""
    return sum(int(stages.read_record(folder).metrics.get(key) or 0) for folder in folders)
