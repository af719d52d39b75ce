"""Compare methods on one evaluation set, each with a baseline: the numbers of EEF Tables 3 and 4, and their columns.

compare_evaluations      evaluations -> rows with gaps, Holm's correction, and the n at which a gap would be significant
method_columns, score_columns, gap_columns, skill_columns, cost_columns      columns to put together into a table
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.metrics import Comparison
from eefcore.evaluation.navigation import SkillRates, navigation_rates
from eefcore.evaluation.panel import Evaluation
from eefcore.evaluation.stats import Estimate
from eefcore.protocols import Skill
from eefcore.reports.document import cells
from eefcore.reports.document.cells import BLANK, SIGNIFICANCE, Cell, Column, Table
from eefcore.storage.cost import Cost
from eefcore.types import Card


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

Columns = list[tuple[Column, Callable[[MethodRow], Cell]]]
"""Headings, each with the function that makes the cell of a method below it."""


def table(name: str, result: ResultTable, columns: Columns, *, title: str = "", ours: str = "") -> Table:
    """Return a table of `columns` over the rows of `result`; the row of `ours` is marked."""
    return Table(
        name=name,
        columns=tuple(column for column, _ in columns),
        rows=tuple(tuple(cell(row) for _, cell in columns) for row in result.rows),
        title=title,
        note=table_note(result),
        marked=tuple(i for i, row in enumerate(result.rows) if row.method == ours),
    )


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

    def column(skill: str, what: str) -> tuple[Column, Callable[[MethodRow], Cell]]:
        heading = Column(what, skill, f"{skill} {what}")
        return heading, lambda row: cells.share(getattr(row.skills[skill], what))

    return [column(skill, what) for skill in result.rows[0].skills for what in ("success", "attempt")]


def cost_columns() -> Columns:
    """Return the columns of what a method cost up to its model: simulations, tokens, training, time, expert data."""

    def column(
        name: str, key: str, cell: Callable[[Cost], Cell]
    ) -> tuple[Column, Callable[[MethodRow], Cell]]:
        return Column(name, "Cost", key), lambda row: BLANK if row.cost is None else cell(row.cost)

    return [
        column(
            "simulations",
            "simulations",
            lambda c: cells.amount(c.episodes, **{"env steps": (c.env_steps, "steps")}),
        ),
        column(
            "tokens",
            "tokens written",
            lambda c: cells.amount(c.tokens_written, **{"read": (c.tokens_read, "read")}),
        ),
        column("trained on", "tokens trained", lambda c: cells.amount(c.tokens_trained, "tokens")),
        column("time", "seconds", lambda c: cells.time(c.seconds, c.money)),
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
        out.append(
            "“needs n ≥ …”: the number of tasks at which a gap of that size would be significant in one seed (5 %, power 80 %)."
        )
    if all(row.win_rate.seeds == 1 for row in result.rows):
        out.append("One seed: the intervals cover other tasks, not another training run.")
    return " ".join(out)
