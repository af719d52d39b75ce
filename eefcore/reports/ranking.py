"""Test an order of methods, best first, neighbour by neighbour: which differences are significant.

`links` compares the neighbours of a given order; `pairs` compares every two methods where no order is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.formatting import p_value, signed
from eefcore.evaluation.metrics import Comparison
from eefcore.evaluation.panel import Evaluation
from eefcore.reports.document import cells
from eefcore.reports.document.cells import SIGNIFICANCE, Column, Table


class Link(NamedTuple):
    """Two methods, of which the order says that the first is better, and their paired comparison."""

    better: str
    worse: str
    comparison: Comparison
    holm: float

    @property
    def significant(self) -> bool:
        """Whether the first is significantly better: paired, Holm-corrected p below 0.05."""
        return self.holm < SIGNIFICANCE and self.comparison.wins.value > 0

    @property
    def verdict(self) -> str:
        """`significant`, `significant, the other way round`, or `not significant`."""
        if self.significant:
            return "significant"
        return "significant, the other way round" if self.holm < SIGNIFICANCE else "not significant"

    @property
    def needed_n(self) -> int | None:
        """The number of tasks at which a gap of this size would be significant, where it is not."""
        return None if self.holm < SIGNIFICANCE else self.comparison.needed_n


def links(evaluations: Sequence[Evaluation], order: Sequence[str]) -> list[Link]:
    """Compare the neighbours of `order`, best first, on the same tasks and seeds; methods that were not run are skipped."""
    by_name = {e.method: e for e in evaluations}
    return _compare(list(pairwise(by_name[name] for name in order if name in by_name)))


def pairs(evaluations: Sequence[Evaluation]) -> list[Link]:
    """Compare every two of `evaluations` on the same tasks and seeds, the one with the higher win rate first."""
    best = sorted(evaluations, key=lambda e: -metrics.win_rate(*e.runs).value)
    return _compare(list(combinations(best, 2)))


def table(
    found: Sequence[Link], name: str = "order", title: str = "The paper’s order, neighbour by neighbour"
) -> Table:
    """Return the comparisons as a table."""
    rows = tuple(
        (
            cells.words(f"{link.better} > {link.worse}"),
            cells.gap(link.comparison.wins, holm=link.holm, needs=link.needed_n),
            cells.gap(link.comparison.reward, scale=1, digits=3),
            cells.words(link.verdict),
        )
        for link in found
    )
    columns = (
        Column("Pair", key="link", words=True),
        Column("win rate gap"),
        Column("reward gap"),
        Column("", key="verdict", words=True),
    )
    note = (
        f"Paired on the same tasks and seeds. Holm: p corrected for {len(found)} comparisons; significant is a p below "
        f"{SIGNIFICANCE}. “needs n ≥ …”: the number of tasks at which a gap of that size would be significant in one seed "
        "(5 %, power 80 %)."
    )
    return Table(name, columns, rows, title=title, note=note)


def sentences(found: Sequence[Link], order: Sequence[str]) -> list[str]:
    """Say in sentences how many neighbours of the paper's order differ significantly, and each comparison."""
    present = {name for link in found for name in (link.better, link.worse)}
    missing = [name for name in order if name not in present]
    n = sum(link.significant for link in found)
    out = [
        f"In the paper’s order {n} of {len(found)} methods {'is' if n == 1 else 'are'} significantly better than the next."
    ]
    out += [_sentence(link) for link in found]
    if missing:
        out.append(f"Not run here: {', '.join(missing)}.")
    return out


def significant_differences(found: Sequence[Link]) -> str:
    """Say in one sentence which comparisons are significant; empty if there is nothing to compare."""
    if not found:
        return ""
    better = [_beats(link) for link in found if link.holm < SIGNIFICANCE]
    return (
        f"Significant differences. {'; '.join(better)}."
        if better
        else "No difference between neighbours is significant."
    )


def _compare(neighbours: Sequence[tuple[Evaluation, Evaluation]]) -> list[Link]:
    found = [metrics.compare(a, b) for a, b in neighbours]
    corrected = stats.holm([c.wins.p for c in found])
    return [Link(a.method, b.method, c, p) for (a, b), c, p in zip(neighbours, found, corrected, strict=True)]


def _beats(link: Link) -> str:
    gap = link.comparison.wins.value
    winner, loser = (link.better, link.worse) if gap > 0 else (link.worse, link.better)
    against = "" if gap > 0 else ", against the paper’s order"
    return f"{winner} beats {loser} by {100 * abs(gap):.1f} points{against}"


def _sentence(link: Link) -> str:
    gap = link.comparison.wins
    interval = f"95 % interval {signed(gap.low)} to {signed(gap.high)}"
    holm = p_value(link.holm).replace("p", "Holm’s p", 1)
    if link.holm < SIGNIFICANCE:
        return f"{_beats(link)}: significant ({interval}, {holm})."
    more = f"; a gap of this size needs n ≥ {link.needed_n:,} in one seed" if link.needed_n else ""
    return f"{link.better} − {link.worse}: {signed(gap.value)} points, not significant ({interval}, {holm}{more})."
