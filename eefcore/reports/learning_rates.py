"""Choose the learning rate of each method on the dev set: methods that differ in nothing else, side by side.

Such methods are a family, called `ETO, 1e-5`, `ETO, 1e-4`, …, and known by what their stages recorded, not by their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from eefcore.evaluation import metrics
from eefcore.evaluation.stats import Estimate
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Chapter, chapter
from eefcore.reports.document.cells import BLANK, Column, Table
from eefcore.reports.evidence import Method, Sections
from eefcore.types import Value

RATE = "learning_rate"
"""The parameter that the methods of a family differ in, of whichever stages."""


class Family(NamedTuple):
    """A method under several learning rates, the lowest first."""

    name: str
    methods: dict[float, Method]

    @property
    def dev(self) -> dict[float, Estimate]:
        """The win rate on the dev set under each rate, of the iteration that was chosen there."""
        return {rate: metrics.win_rate(*m.dev.runs) for rate, m in self.methods.items()}

    @property
    def chosen(self) -> float:
        """The rate that wins most on the dev set; of equals the lowest."""
        dev = self.dev
        return max(dev, key=lambda rate: dev[rate].value)


def find_families(methods: Sequence[Method]) -> list[Family]:
    """Return the families among `methods`, those of two rates at least."""
    alike: dict[frozenset[tuple[str, Value]], list[Method]] = {}
    for m in methods:
        rest = frozenset(item for item in m.parameters.items() if item[0].rpartition(".")[2] != RATE)
        alike.setdefault(rest, []).append(m)
    # Methods of equal parameters under two names are no family.
    return [_family(own) for own in alike.values() if len({m.settings for m in own}) > 1]


def _family(methods: Sequence[Method]) -> Family:
    """Return methods by the rate that they differ in; where they differ in several stages, by that of the first."""
    keys = [key for key in methods[0].parameters if len({repr(m.parameters.get(key)) for m in methods}) > 1]
    by_rate = {float(str(m.parameters[keys[0]])): m for m in methods}
    name = methods[0].name.rpartition(", ")[0] or methods[0].name
    return Family(name, dict(sorted(by_rate.items())))


def rate_chapter(methods: Sections) -> list[Chapter]:
    """Return the section on learning rates, a table a run; nothing if no methods differ in the rate alone."""
    runs = [(stem, run) for section in methods.values() for stem, run in section.items()]
    found = {stem: families for stem, run in runs if (families := find_families(run))}
    several = len(found) > 1
    made = [rate_table(f"chosen_{stem}" if several else "chosen", of) for stem, of in found.items()]
    return [chapter("chosen", "Learning rates, chosen on the dev set", *made)] if made else []


def rate_table(name: str, families: Sequence[Family]) -> Table:
    """Return the win rate of each family on the dev set under each rate, the chosen rate, and its win rate on the test set."""
    rates = sorted({rate for family in families for rate in family.methods})
    columns: cells.Columns[Family] = [
        (Column("Method", key="method", words=True), lambda f: cells.words(f.name)),
        *(
            (
                Column(f"{rate:g}", "Dev win rate"),
                lambda f, r=rate: cells.share(f.dev[r]) if r in f.dev else BLANK,
            )
            for rate in rates
        ),
        (Column("chosen"), lambda f: cells.Cell(f"{f.chosen:g}", (), {"": f.chosen})),
        (
            Column("win rate", "Test", "test win rate"),
            lambda f: cells.share(metrics.win_rate(*f.methods[f.chosen].evaluation.runs)),
        ),
    ]
    note = (
        "Each win rate on the dev set is of the iteration that won most there. The rate that wins most there is chosen, of "
        "equals the lowest; the test set is not looked at. Simulations and trained tokens stand in the table of all methods. "
        "Small print: 95 % intervals."
    )
    return cells.make_table(name, columns, families, title="The same grid for each method", note=note)
