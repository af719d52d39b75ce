"""Methods measured under one card, each held against one of them: the numbers of EEF Tables 3 and 4, and their cells.

compared      evaluations -> rows with gaps, Holm's correction, and what a panel that can't tell would need
named_by, scores, gaps, skills, costs      columns of a table over such rows, to be put together
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.metrics import Comparison, Evaluation, SkillRates
from eefcore.evaluation.stats import Estimate
from eefcore.protocols import Skill
from eefcore.reports.document import cells
from eefcore.reports.document.cells import BLANK, TOLD, Cell, Column, Table
from eefcore.storage.cost import Cost
from eefcore.types import Card


class MethodRow(NamedTuple):
    """One method's line. `against` compares it with the table's baseline; `holm` is its p of wins, corrected."""

    method: str
    win_rate: Estimate
    reward: Estimate
    skills: dict[str, SkillRates]
    cost: Cost | None
    outcomes: Counter[str]
    against: Comparison | None
    holm: float

    @property
    def needs(self) -> int | None:
        """The number of tasks that would tell a win gap of this size, where this panel can't."""
        told = self.against is None or self.against.wins.p < TOLD
        return None if told else self.against.needed_n


class ResultTable(NamedTuple):
    """Methods measured under one card, and the name of the one they are held against."""

    card: Card
    rows: tuple[MethodRow, ...]
    baseline: str | None


def by_card(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Those that may stand in one table."""
    groups: dict[str, list[Evaluation]] = {}
    for e in evaluations:
        groups.setdefault(e.card.key, []).append(e)
    return list(groups.values())


def compared(
    group: Sequence[Evaluation],
    skills: Mapping[str, Skill],
    *,
    ours: str,
    baseline: str | None = None,
    costs: Mapping[str, Cost] | None = None,
) -> ResultTable:
    """Evaluations of one card, each held against `baseline`; against the best but `ours` if that is not there.

    Raises:
        ValueError: two share a name.
    """
    rates = {e.method: metrics.win_rate(*e.runs) for e in group}
    if len(rates) < len(group):
        raise ValueError(
            f"two evaluations share a name: {', '.join(e.method for e in group)}; name each once"
        )
    others = [m for m in rates if m != ours and not math.isnan(rates[m].value)]
    held = baseline if baseline in rates else max(others, key=lambda m: rates[m].value, default=None)
    reference = next((e for e in group if e.method == held), None)
    against = [None if reference in (None, e) else metrics.compare(e, reference) for e in group]
    corrected = stats.holm([math.nan if c is None else c.wins.p for c in against])
    rows = (
        MethodRow(
            method=e.method,
            win_rate=rates[e.method],
            reward=metrics.mean_reward(*e.runs),
            skills=metrics.navigation_rates(skills, *e.runs),
            cost=(costs or {}).get(e.method),
            outcomes=metrics.outcomes(*e.runs),
            against=comparison,
            holm=p,
        )
        for e, comparison, p in zip(group, against, corrected, strict=True)
    )
    return ResultTable(group[0].card, tuple(rows), held)


# ------------------------------------------------------------------------------ as a table

Columns = list[tuple[Column, Callable[[MethodRow], Cell]]]
"""Headings, and what stands below each of a method."""


def table(name: str, result: ResultTable, columns: Columns, *, title: str = "", ours: str = "") -> Table:
    """`columns` of the rows of `result`."""
    return Table(
        name=name,
        columns=tuple(column for column, _ in columns),
        rows=tuple(tuple(cell(row) for _, cell in columns) for row in result.rows),
        title=title,
        note=note(result),
        marked=tuple(i for i, row in enumerate(result.rows) if row.method == ours),
    )


def named_by(heading: str = "Method") -> Columns:
    """Who it is, and over how many tasks and seeds."""
    return [(Column(heading, key="method", words=True), lambda r: cells.named(r.method, r.win_rate))]


def scores() -> Columns:
    """Win rate and reward (EEF Table 3)."""
    return [
        (Column("win rate"), lambda r: cells.share(r.win_rate)),
        (Column("reward"), lambda r: cells.score(r.reward)),
    ]


def gaps(result: ResultTable) -> Columns:
    """What lies between a method and the baseline; no columns where there is nobody to compare."""
    if len(result.rows) < 2:
        return []
    group = f"Gap to {result.baseline}"
    many = len(result.rows) > 2

    def wins(row: MethodRow) -> Cell:
        if row.against is None:
            return BLANK
        return cells.gap(row.against.wins, holm=row.holm if many else math.nan, needs=row.needs)

    def reward(row: MethodRow) -> Cell:
        return BLANK if row.against is None else cells.gap(row.against.reward, scale=1, digits=3)

    return [
        (Column("win rate", group, "win rate gap"), wins),
        (Column("reward", group, "reward gap"), reward),
    ]


def skills(result: ResultTable) -> Columns:
    """Success and attempt of each navigation skill (EEF Table 4)."""

    def of(skill: str, what: str) -> tuple[Column, Callable[[MethodRow], Cell]]:
        column = Column(what, skill, f"{skill} {what}")
        return column, lambda row: cells.share(getattr(row.skills[skill], what))

    return [of(skill, what) for skill in result.rows[0].skills for what in ("success", "attempt")]


def costs() -> Columns:
    """What a method cost up to its model: simulations, tokens, training, time, expert data."""

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


def note(result: ResultTable) -> str:
    """How such a table is to be read."""
    out = [f"Card {result.card.key}. Small print: 95 % intervals."]
    if len(result.rows) > 1:
        out.append("Gaps are paired on the tasks that both could play, those of win rates in points.")
        compared = sum(row.against is not None for row in result.rows)
        if compared > 1:
            out.append(f"Holm: p corrected for {compared} comparisons.")
        out.append(
            "“needs n ≥ …”: the tasks with which a gap of that size would be told by one seed (5 %, power 80 %)."
        )
    if all(row.win_rate.seeds == 1 for row in result.rows):
        out.append("One seed: the intervals cover other tasks, not another training run.")
    return " ".join(out)
