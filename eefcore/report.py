"""A run's evidence as one self-contained HTML file: tables, figures, case studies, what was trained on.

    from_results    evaluations, costs, curves … -> Report, every sentence and p computed
    build           Report -> the file

The file asks for nothing outside itself (its content policy forbids it), follows the reader's light or dark
theme, and prints. All text of environments and models is escaped. Rows of different cards are in different
tables, and only rows of one table are compared.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from eefcore import figures, metrics, stats, wording
from eefcore.cases import Case, Move, SideBySide, find_cases, moves, side_by_side
from eefcore.figures import Plot
from eefcore.ledger import Cost
from eefcore.metrics import Comparison, Evaluation, Skill
from eefcore.stats import Estimate
from eefcore.types import Card, Stop, Trajectory
from eefcore.wording import compact, p_value, percent, signed, span

TOLD = 0.05  # p below which a gap is told from chance


class Segment(NamedTuple):
    """A stretch of a training row: its text, whether it carries the loss, and how many tokens it is."""

    text: str
    trained: bool
    tokens: int


class MethodRow(NamedTuple):
    """One method's line of the main table. `against` compares it with the table's baseline; `holm` is its p of wins, corrected."""

    method: str
    win_rate: Estimate
    reward: Estimate
    skills: dict[str, Skill]
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


class CaseStudy(NamedTuple):
    """A case, its trajectories aligned, and what both methods are called."""

    task: str
    case: Case
    better: str
    worse: str
    aligned: SideBySide


class Figure(NamedTuple):
    """A plot, under which heading it belongs, and what to see in it."""

    section: str
    caption: str
    plot: Plot


class Report(NamedTuple):
    """All that the page says. `headline` and `details` are sentences computed from the data."""

    title: str
    headline: str
    details: tuple[str, ...]
    ours: str
    tables: tuple[ResultTable, ...]
    figures: tuple[Figure, ...]
    cases: tuple[CaseStudy, ...]
    no_cases: str  # why there are none, when there are none
    dialogue: tuple[Segment, ...]
    skills: Mapping[str, str]
    command: str
    versions: Mapping[str, str]


def from_results(
    title: str,
    evaluations: Sequence[Evaluation],
    *,
    skills: Mapping[str, str],
    command: str,
    versions: Mapping[str, str],
    ours: str | None = None,
    baseline: str | None = None,
    costs: Mapping[str, Cost] | None = None,
    curves: Mapping[str, Mapping[int, Estimate]] | None = None,
    experts: Sequence[Trajectory] = (),
    dialogue: Sequence[Segment] = (),
) -> Report:
    """The report on `evaluations`, in their order.

    Args:
        skills: the environment's (`protocols.Benchmark.skills`).
        command: what makes this result again.
        ours: the method the headline is about; the last one if not said.
        baseline: what the others are held against; if not said, the best of the others by win rate.
        costs: of each method, all seeds together.
        curves: of each method, the dev win rate by iteration.
        experts: an expert's trajectories on the same tasks, for the case studies.
        dialogue: one training row (`segments`).
    """
    if not evaluations:
        raise ValueError("no evaluation to report; give at least one method's trajectories")
    names = [e.method for e in evaluations]
    for asked in (ours, baseline):
        if asked is not None and asked not in names:
            raise ValueError(f"no method {asked!r} to report; there are {', '.join(names)}")
    ours = names[-1] if ours is None else ours
    groups: dict[str, list[Evaluation]] = {}
    for e in evaluations:
        groups.setdefault(e.card.key, []).append(e)
    tables = tuple(_table(group, ours, baseline, skills, costs or {}) for group in groups.values())
    main = next(t for t in tables if ours in [r.method for r in t.rows])
    studies, no_cases = _studies(groups[main.card.key], main, ours, experts, skills)
    return Report(
        title=title,
        headline=headline(main, ours),
        details=_details(main, ours),
        ours=ours,
        tables=tables,
        figures=_figures(main, curves or {}),
        cases=studies,
        no_cases=no_cases,
        dialogue=tuple(dialogue),
        skills=skills,
        command=command,
        versions=versions,
    )


def segments(
    tokens: Sequence[int], labels: Sequence[int], decode: Callable[[list[int]], str]
) -> list[Segment]:
    """A training row (`masking.Row`) cut where the loss begins and ends."""
    pairs = zip(tokens, labels, strict=True)
    runs = (
        (trained, [t for t, _ in run]) for trained, run in groupby(pairs, lambda pair: pair[0] == pair[1])
    )
    return [Segment(decode(run), trained, len(run)) for trained, run in runs]


def rows(content: Report) -> list[dict[str, object]]:
    """The main table as plain rows, for a notebook, a CSV file and W&B."""
    return [
        {
            "method": row.method,
            "n": row.win_rate.n,
            "seeds": row.win_rate.seeds,
            "win rate": percent(row.win_rate.value),
            "95 %": span(row.win_rate),
            "reward": f"{row.reward.value:.3f}",
            **{
                f"{name} {what}": percent(getattr(skill, what).value)
                for name, skill in row.skills.items()
                for what in ("success", "attempt")
            },
            "simulations": row.cost.episodes if row.cost else "",
            "env steps": row.cost.env_steps if row.cost else "",
            "tokens trained": row.cost.tokens_trained if row.cost else "",
            "seconds": round(row.cost.seconds) if row.cost else "",
            f"against {table.baseline}": p_value(row.against.wins.p) if row.against else "",
            "card": table.card.key,
        }
        for table in content.tables
        for row in table.rows
    ]


def headline(table: ResultTable, ours: str) -> str:
    """What the table says of `ours`, in one sentence that claims no more than p allows."""
    rows = {r.method: r for r in table.rows}
    row = rows[ours]
    n = f"{row.win_rate.n:,} tasks" + (
        f" in each of {row.win_rate.seeds} seeds" if row.win_rate.seeds > 1 else ""
    )
    if not row.win_rate.n:
        return f"No episode of {ours} could be judged: the infrastructure failed in all of them."
    wins = f"{ours} wins {percent(row.win_rate.value)} of {n}"
    if row.against is None or not row.against.wins.n:
        return f"{wins} (95 % interval {span(row.win_rate)})."
    gap, other = row.against.wins, rows[table.baseline]
    most = not any(r.win_rate.value > other.win_rate.value for r in table.rows if r.method != ours)
    name = f"{other.method}, the best of the others" if most and len(rows) > 2 else other.method
    test = f"{p_value(gap.p)}, {'McNemar’s exact test' if gap.seeds == 1 else 'paired bootstrap over seeds and tasks'}"
    if gap.p < TOLD:
        points = f"{100 * abs(gap.value):.1f} points {'more' if gap.value > 0 else 'fewer'} than {name}"
        return f"{wins}, {points} (95 % interval {signed(gap.low)} to {signed(gap.high)}; {test})."
    needed = row.against.needed_n
    alone = " in one seed" if gap.seeds > 1 else ""
    more = f"; a gap of this size needs n ≥ {needed:,} to be told{alone}" if needed else ""
    return (
        f"{wins} and {name} {percent(other.win_rate.value)}: this panel can't tell them apart ({test}{more})."
    )


def build(path: Path, content: Report) -> Path:
    """The page at `path`, written beside it first and renamed when whole."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("eefcore"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(wording, name) for name in wording.__all__}
    environment.globals |= {
        "moves": moves,
        "isnan": math.isnan,
        "skills_of": lambda move: _skills_of(move, content.skills),
        "svg": lambda figure: Markup(figures.inline_svg(figure.plot, f"f{content.figures.index(figure)}")),
        "figures_of": lambda section: [f for f in content.figures if f.section == section],
    }
    page = environment.get_template("report.html.jinja").render(
        content._asdict(), TOLD=TOLD, outcomes=_OUTCOMES
    )
    unfinished = path.with_name(f".{path.name}.unfinished")
    # Observations hold anything, half of a surrogate pair included.
    unfinished.write_text(page, encoding="utf-8", errors="xmlcharrefreplace")
    os.replace(unfinished, path)
    return path


_OUTCOMES = ("win", "loss", *(stop.value for stop in Stop if stop is not Stop.DONE))


def _table(
    group: Sequence[Evaluation],
    ours: str,
    baseline: str | None,
    skills: Mapping[str, str],
    costs: Mapping[str, Cost],
) -> ResultTable:
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
            skills=metrics.navigation(skills, *e.runs),
            cost=costs.get(e.method),
            outcomes=metrics.outcomes(*e.runs),
            against=comparison,
            holm=p,
        )
        for e, comparison, p in zip(group, against, corrected, strict=True)
    )
    return ResultTable(group[0].card, tuple(rows), held)


def _studies(
    group: Sequence[Evaluation],
    table: ResultTable,
    ours: str,
    experts: Iterable[Trajectory],
    skills: Mapping[str, str],
) -> tuple[tuple[CaseStudy, ...], str]:
    runs = {e.method: e.runs[0] for e in group}
    if table.baseline in (None, ours):
        return (), f"There is no other method to hold {ours} against."
    found = find_cases(runs[ours], runs[table.baseline], experts, skills)
    if not found:
        return (), f"{ours} won no task that {table.baseline} lost, in the first seed."
    return tuple(
        CaseStudy(_first_line(c.better), c, ours, table.baseline, side_by_side(c.better, c.worse))
        for c in found
    ), ""


def _figures(table: ResultTable, curves: Mapping[str, Mapping[int, Estimate]]) -> tuple[Figure, ...]:
    out = [
        Figure(
            "results",
            "Win rate with 95 % intervals.",
            figures.win_rates({r.method: r.win_rate for r in table.rows}),
        )
    ]
    if table.rows[0].skills:
        out.append(
            Figure(
                "navigation",
                "Full bars: tasks won by a trajectory that uses the skill, with 95 % intervals. Outlines: tasks where it "
                "was used at all. What lies between was tried in vain.",
                figures.navigation({r.method: r.skills for r in table.rows}),
            )
        )
    if curves:
        out.append(
            Figure(
                "curve",
                "Win rate on the dev panel, by which the iteration was chosen; the table is of the test panel.",
                figures.curve(curves),
            )
        )
    return tuple(out)


def _details(table: ResultTable, ours: str) -> tuple[str, ...]:
    rows = {r.method: r for r in table.rows}
    row, other = rows[ours], rows.get(table.baseline or "")
    if other is None or other is row:
        return ()
    out = [
        f"{skill}: {ours} wins {percent(of.success.value)} of tasks by using it, {other.method} "
        f"{percent(other.skills[skill].success.value)}."
        for skill, of in row.skills.items()
    ]
    if row.cost is not None and other.cost is not None:
        out.append(
            f"Cost: {compact(row.cost.episodes)} simulations and {compact(row.cost.tokens_trained)} trained tokens, "
            f"against {compact(other.cost.episodes)} and {compact(other.cost.tokens_trained)}."
        )
    return tuple(out)


def _first_line(trajectory: Trajectory) -> str:
    return trajectory.history.at(0).observation.strip().removeprefix("Task:").split("\n", 1)[0]


def _skills_of(move: Move, skills: Mapping[str, str]) -> list[str]:
    return [name for name, pattern in skills.items() if re.search(pattern, move.action)]
