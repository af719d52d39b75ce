"""Compare methods on one evaluation set: with a baseline (EEF Tables 3 and 4), or every two neighbours of an order.

compare_evaluations      evaluations -> rows with gaps, Holm's correction, and the n at which a gap would be significant
method_columns, score_columns, gap_columns, skill_columns, cost_columns      columns to put together into a table
links, pairs, link_table      comparisons of the neighbours of an order, and of every two methods
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.formatting import p_value, signed
from eefcore.evaluation.metrics import Comparison
from eefcore.evaluation.navigation import SkillRates, navigation_rates
from eefcore.evaluation.panel import Evaluation
from eefcore.evaluation.stats import Difference, Estimate
from eefcore.protocols import Skill
from eefcore.reports.document import cells
from eefcore.reports.document.cells import BLANK, SIGNIFICANCE, Cell, Column, Table
from eefcore.storage.cost import Cost
from eefcore.types import Card, StopReason


class MethodRow(NamedTuple):
    """The numbers of one method. `against` compares it with the baseline of the table; `holm` is the corrected p of its wins."""

    method: str
    win_rate: Estimate
    reward: Estimate
    skills: dict[str, SkillRates]
    cost: Cost | None
    outcomes: Counter[str]
    against: Comparison | None
    holm: float

    @property
    def significant(self) -> bool:
        """Whether the win rate differs significantly from that of the baseline: paired, Holm-corrected p below 0.05."""
        return self.holm < SIGNIFICANCE

    @property
    def needed_n(self) -> int | None:
        """The number of tasks at which a win gap of this size would be significant, where its own p is not below 0.05."""
        if self.against is None or self.against.wins.p < SIGNIFICANCE:
            return None
        return self.against.needed_n


class ResultTable(NamedTuple):
    """Methods measured under one environment card, and the name of the baseline that they are compared with."""

    card: Card
    rows: tuple[MethodRow, ...]
    baseline: str | None


def compare_evaluations(
    evaluations: Sequence[Evaluation],
    skills: Mapping[str, Skill],
    *,
    ours: str,
    baseline: str | None = None,
    costs: Mapping[str, Cost] | None = None,
) -> ResultTable:
    """Compare evaluations of one card with `baseline`; without it with the best of those other than `ours`.

    Raises:
        ValueError: two evaluations share a name.
    """
    rates = {e.method: metrics.win_rate(*e.runs) for e in evaluations}
    if len(rates) < len(evaluations):
        raise ValueError(
            f"two evaluations share a name, got {', '.join(e.method for e in evaluations)}; name each once"
        )
    if baseline not in rates:
        others = [m for m in rates if m != ours and not math.isnan(rates[m].value)]
        baseline = max(others, key=lambda m: rates[m].value, default=None)
    reference = next((e for e in evaluations if e.method == baseline), None)
    against = [None if reference in (None, e) else metrics.compare(e, reference) for e in evaluations]
    corrected = stats.holm([math.nan if c is None else c.wins.p for c in against])
    rows = (
        MethodRow(
            method=e.method,
            win_rate=rates[e.method],
            reward=metrics.mean_reward(*e.runs),
            skills=navigation_rates(skills, *e.runs),
            cost=(costs or {}).get(e.method),
            outcomes=metrics.outcomes(*e.runs),
            against=comparison,
            holm=p,
        )
        for e, comparison, p in zip(evaluations, against, corrected, strict=True)
    )
    return ResultTable(evaluations[0].card, tuple(rows), baseline)


# ------------------------------------------------------------------------------ as a table

Columns = cells.Columns[MethodRow]


def table(name: str, result: ResultTable, columns: Columns, *, title: str = "", ours: str = "") -> Table:
    """Return a table of `columns` over the rows of `result`; the row of `ours` is marked."""
    marked = (i for i, row in enumerate(result.rows) if row.method == ours)
    return cells.make_table(name, columns, result.rows, title=title, note=table_note(result), marked=marked)


def method_columns(heading: str = "Method") -> Columns:
    """Return the column with the method's name and its number of tasks and seeds."""
    return [(Column(heading, key="method", words=True), lambda r: cells.method(r.method, r.win_rate))]


def score_columns() -> Columns:
    """Return the columns of win rate and reward (EEF Table 3)."""
    return [
        (Column("win rate"), lambda r: cells.share(r.win_rate)),
        (Column("reward"), lambda r: cells.score(r.reward)),
    ]


def gap_columns(result: ResultTable) -> Columns:
    """Return the columns of the gaps to the baseline; none where there is only one method."""
    if len(result.rows) < 2:
        return []
    group = f"Gap to {result.baseline}"
    many = len(result.rows) > 2

    def wins(row: MethodRow) -> Cell:
        if row.against is None:
            return BLANK
        return cells.gap(row.against.wins, holm=row.holm if many else math.nan, needs=row.needed_n)

    def reward(row: MethodRow) -> Cell:
        return BLANK if row.against is None else cells.gap(row.against.reward, scale=1, digits=3)

    return [
        (Column("win rate", group, "win rate gap"), wins),
        (Column("reward", group, "reward gap"), reward),
    ]


def skill_columns(result: ResultTable) -> Columns:
    """Return the columns of success and attempt of each navigation skill (EEF Table 4)."""
    return [
        (
            Column(what, skill, f"{skill} {what}"),
            lambda row, s=skill, w=what: cells.share(getattr(row.skills[s], w)),
        )
        for skill in result.rows[0].skills
        for what in ("success", "attempt")
    ]


def cost_columns() -> Columns:
    """Return the columns of a method's cost up to its model: simulations, tokens, training, time, expert data."""
    costs: list[tuple[str, str, Callable[[Cost], Cell]]] = [
        (
            "simulations",
            "simulations",
            lambda c: cells.amount(c.episodes, **{"env steps": (c.env_steps, "steps")}),
        ),
        ("tokens", "tokens written", lambda c: cells.amount(c.tokens_written, read=(c.tokens_read, "read"))),
        ("trained on", "tokens trained", lambda c: cells.amount(c.tokens_trained, "tokens")),
        ("time", "seconds", lambda c: cells.time(c.seconds, c.money)),
    ]
    return [
        (Column(name, "Cost", key), lambda row, cell=cell: BLANK if row.cost is None else cell(row.cost))
        for name, key, cell in costs
    ]


def table_note(result: ResultTable) -> str:
    """Return the note below a table that says how to read it."""
    out = [f"Card {result.card.key}. Small print: 95 % intervals."]
    if len(result.rows) > 1:
        out.append("Gaps are paired on the tasks that both could play, those of win rates in points.")
        compared = sum(row.against is not None for row in result.rows)
        if compared > 1:
            out.append(
                f"Holm: p corrected for {compared} comparisons; a gap is significant below {SIGNIFICANCE}."
            )
        out.append(_NEEDS)
    for row in result.rows:
        if unpaid := row.outcomes[StopReason.BUDGET.value]:
            n = row.outcomes.total()
            out.append(
                f"{row.method} was stopped by its budget after {n - unpaid} of {n} tasks; its row is over those."
            )
    if all(row.win_rate.seeds == 1 for row in result.rows):
        out.append("One seed: the intervals cover other tasks, not another training run.")
    return " ".join(out)


_NEEDS = "“needs n ≥ …”: the number of tasks at which a gap of that size would be significant in one seed (5 %, power 80 %)."

# ------------------------------------------------------------------------------ two and two


class Link(NamedTuple):
    """Two methods and their paired comparison; in the order of the paper the first is better."""

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


def link_table(
    found: Sequence[Link], name: str = "order", title: str = "The paper’s order, neighbour by neighbour"
) -> Table:
    """Return the comparisons as a table."""
    columns: cells.Columns[Link] = [
        (Column("Pair", key="link", words=True), lambda link: cells.words(f"{link.better} > {link.worse}")),
        (
            Column("win rate gap"),
            lambda link: cells.gap(link.comparison.wins, holm=link.holm, needs=link.needed_n),
        ),
        (Column("reward gap"), lambda link: cells.gap(link.comparison.reward, scale=1, digits=3)),
        (Column("", key="verdict", words=True), lambda link: cells.words(link.verdict)),
    ]
    note = (
        f"Paired on the same tasks and seeds. Holm: p corrected for {len(found)} comparisons; significant is a p below "
        f"{SIGNIFICANCE}. {_NEEDS}"
    )
    return cells.make_table(name, columns, found, title=title, note=note)


def link_sentences(found: Sequence[Link], order: Sequence[str]) -> list[str]:
    """Say in sentences how many neighbours of the paper's order differ significantly, and each comparison."""
    present = {name for link in found for name in (link.better, link.worse)}
    missing = [name for name in order if name not in present]
    n = sum(link.significant for link in found)
    better = f"{n} of {len(found)} methods {'is' if n == 1 else 'are'} significantly better than the next"
    not_run = [f"Not run here: {', '.join(missing)}."] if missing else []
    return [f"In the paper’s order {better}.", *map(_sentence, found), *not_run]


def significant_differences(found: Sequence[Link]) -> str:
    """Say in one sentence which comparisons are significant; empty if there is nothing to compare."""
    better = "; ".join(_beats(link) for link in found if link.holm < SIGNIFICANCE)
    if better:
        return f"Significant differences. {better}."
    return "No difference between neighbours is significant." if found else ""


def _compare(neighbours: Sequence[tuple[Evaluation, Evaluation]]) -> list[Link]:
    found = [metrics.compare(a, b) for a, b in neighbours]
    corrected = stats.holm([c.wins.p for c in found])
    return [Link(a.method, b.method, c, p) for (a, b), c, p in zip(neighbours, found, corrected, strict=True)]


def better_of(first: str, second: str, gap: float) -> str:
    """Say which of two methods has the higher win rate, and by how many points; `gap` is that of the first."""
    winner, loser = (first, second) if gap > 0 else (second, first)
    return f"{winner} beats {loser} by {100 * abs(gap):.1f} points"


def _beats(link: Link) -> str:
    gap = link.comparison.wins.value
    return better_of(link.better, link.worse, gap) + ("" if gap > 0 else ", against the paper’s order")


def _sentence(link: Link) -> str:
    gap = link.comparison.wins
    test = gap_test(gap, link.holm)
    if link.holm < SIGNIFICANCE:
        return f"{_beats(link)}: significant ({test})."
    more = f"; a gap of this size needs n ≥ {link.needed_n:,} in one seed" if link.needed_n else ""
    return f"{link.better} − {link.worse}: {signed(gap.value)} points, not significant ({test}{more})."


def gap_test(gap: Difference, holm: float) -> str:
    """Return the interval of a gap in win rate and Holm's p, as sentences have them in brackets."""
    p = p_value(holm).replace("p", "Holm’s p", 1)
    return f"95 % interval {signed(gap.low)} to {signed(gap.high)}, {p}"
