"""An order of methods, best first, held against the panels link by link: which neighbours can be told apart.

`pairs` holds every method against every other, where nobody has said an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.formatting import p_value, signed
from eefcore.evaluation.metrics import Comparison, Evaluation
from eefcore.reports.document import cells
from eefcore.reports.document.cells import TOLD, Column, Table


class Link(NamedTuple):
    """Two neighbours of an order: the first is said to be better."""

    better: str
    worse: str
    found: Comparison
    holm: float

    @property
    def verdict(self) -> str:
        """Whether the panel tells it: `told`, `the other way round`, or `not told`."""
        if self.holm < TOLD:
            return "told" if self.found.wins.value > 0 else "the other way round"
        return "not told"


def links(evaluations: Sequence[Evaluation], order: Sequence[str]) -> list[Link]:
    """Neighbours of `order`, best first, each pair compared on the same tasks and seeds; who is not there is left out."""
    known = {e.method: e for e in evaluations}
    there = [known[name] for name in order if name in known]
    return _linked(list(pairwise(there)))


def pairs(evaluations: Sequence[Evaluation]) -> list[Link]:
    """Every two of `evaluations`, the one that won more first, compared on the same tasks and seeds."""
    best = sorted(evaluations, key=lambda e: -metrics.win_rate(*e.runs).value)
    return _linked(list(combinations(best, 2)))


def table(
    found: Sequence[Link], name: str = "order", title: str = "The paper’s order, link by link"
) -> Table:
    """The links of an order as a table."""
    rows = tuple(
        (
            cells.words(f"{link.better} > {link.worse}"),
            cells.gap(link.found.wins, holm=link.holm, needs=_needs(link)),
            cells.gap(link.found.reward, scale=1, digits=3),
            cells.words(link.verdict),
        )
        for link in found
    )
    columns = (
        Column("Link", key="link", words=True),
        Column("win rate gap"),
        Column("reward gap"),
        Column("", key="verdict", words=True),
    )
    note = (
        f"Paired on the same tasks and seeds. Holm: p corrected for {len(found)} links; a link is told below {TOLD}. "
        "“needs n ≥ …”: the tasks with which a gap of that size would be told by one seed (5 %, power 80 %)."
    )
    return Table(name, columns, rows, title=title, note=note)


def sentences(found: Sequence[Link], order: Sequence[str]) -> list[str]:
    """What the links say, in sentences: how many are told, and of each that is not, what stands against it."""
    there = {name for link in found for name in (link.better, link.worse)}
    missing = [name for name in order if name not in there]
    told = sum(link.verdict == "told" for link in found)
    out = [f"Of the {len(found)} links of the paper’s order {told} {'is' if told == 1 else 'are'} told."]
    out += [_sentence(link) for link in found if link.verdict != "told"]
    if missing:
        out.append(f"Not run here: {', '.join(missing)}.")
    return out


def _linked(neighbours: Sequence[tuple[Evaluation, Evaluation]]) -> list[Link]:
    found = [metrics.compare(a, b) for a, b in neighbours]
    corrected = stats.holm([c.wins.p for c in found])
    return [Link(a.method, b.method, c, p) for (a, b), c, p in zip(neighbours, found, corrected, strict=True)]


def _sentence(link: Link) -> str:
    gap, pair = link.found.wins, f"{link.better} > {link.worse}"
    interval = f"{signed(gap.value)} points, 95 % interval {signed(gap.low)} to {signed(gap.high)}"
    holm = p_value(link.holm).replace("p", "Holm’s p", 1)
    needs = _needs(link)
    more = f"; a gap of this size needs n ≥ {needs:,} in one seed" if needs else ""
    return f"{pair} is {link.verdict}: {interval}, {holm}{more}."


def _needs(link: Link) -> int | None:
    return None if link.holm < TOLD else link.found.needed_n
