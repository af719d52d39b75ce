"""A run's evidence: tables, figures, case studies, what was trained on.

    from_results    evaluations, costs, curves … -> Report, every sentence and p computed
    document        Report -> what it says, to be rendered (`page`, `markdown`, `wandb_report`)

Rows of different cards are in different tables, and only rows of one table are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from eefcore.evaluation.formatting import compact, percent
from eefcore.evaluation.metrics import Evaluation
from eefcore.evaluation.stats import Estimate
from eefcore.figures import evaluation
from eefcore.figures.plots import Plot
from eefcore.figures.tree import TreeView
from eefcore.protocols import Skill
from eefcore.reports import acting, comparison, sections
from eefcore.reports.acting import Acting
from eefcore.reports.comparison import ResultTable, by_card, compared
from eefcore.reports.document.blocks import Document, Prose, Section, Segment, Story, picture
from eefcore.reports.document.cells import Table
from eefcore.reports.studies import Seed, studied
from eefcore.search.tree import Tree
from eefcore.storage.cost import Cost
from eefcore.types import Trajectory


class Figure(NamedTuple):
    """A plot, the name of its files, under which heading it belongs, and what to see in it."""

    name: str
    section: str
    caption: str
    plot: Plot


class Report(NamedTuple):
    """All that a run's report says. `headline` and `details` are sentences computed from the data."""

    title: str
    headline: str
    details: tuple[str, ...]
    ours: str
    tables: tuple[ResultTable, ...]
    figures: tuple[Figure, ...]
    cases: tuple[Story, ...]
    no_cases: str  # why there are none, when there are none
    dialogue: tuple[Segment, ...]
    command: str
    versions: Mapping[str, str]
    tree: TreeView | None = None
    acts: Mapping[str, Acting] = {}


def from_results(
    title: str,
    evaluations: Sequence[Evaluation],
    *,
    skills: Mapping[str, Skill],
    command: str,
    versions: Mapping[str, str],
    ours: str | None = None,
    baseline: str | None = None,
    costs: Mapping[str, Cost] | None = None,
    curves: Mapping[str, Mapping[int, Estimate]] | None = None,
    experts: Sequence[Trajectory] = (),
    dialogue: Sequence[Segment] = (),
    tree: Tree | None = None,
    acts: Mapping[str, Acting] | None = None,
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
        tree: one that search grew.
        acts: how each method acts on the panel, and what an episode takes.
    """
    if not evaluations:
        raise ValueError("no evaluation to report; give at least one method's trajectories")
    names = [e.method for e in evaluations]
    for asked in (ours, baseline):
        if asked is not None and asked not in names:
            raise ValueError(f"no method {asked!r} to report; there are {', '.join(names)}")
    ours = names[-1] if ours is None else ours
    groups = by_card(evaluations)
    tables = [compared(g, skills, ours=ours, baseline=baseline, costs=costs) for g in groups]
    main, group = next((t, g) for t, g in zip(tables, groups, strict=True) if ours in [e.method for e in g])
    stories, no_cases = _stories(group, main, ours, experts, skills)
    return Report(
        title=title,
        headline=sections.headline(main, ours),
        details=_details(main, ours),
        ours=ours,
        tables=tuple(tables),
        figures=_figures(main, curves or {}, acts or {}),
        cases=stories,
        no_cases=no_cases,
        dialogue=tuple(dialogue),
        command=command,
        versions=versions,
        tree=TreeView(tree) if tree else None,
        acts=acts or {},
    )


def document(content: Report) -> Document:
    """What the report says, section by section."""
    pictures = {
        section: [picture(f.name, f.caption, f.plot) for f in group]
        for section, group in groupby(content.figures, key=lambda f: f.section)
    }
    shown = (
        Section("results", "Results", (*_tables(content), *pictures["results"])),
        *(
            Section(id, heading, tuple(pictures[id]))
            for id, heading in (("navigation", "Navigation"), ("curve", "Over iterations"))
            if id in pictures
        ),
        Section("cases", "Case studies", (Prose(sections.HOW_FOUND), *content.cases) if content.cases else (Prose(content.no_cases),)),
        *([sections.trained(content.ours, content.dialogue)] if content.dialogue else []),
        *([sections.searched(content.tree.svg, content.tree.text)] if content.tree else []),
        sections.ended(content.tables, content.ours),
        sections.environment([t.card for t in content.tables]),
        sections.WORDS,
        sections.again(content.command, content.versions),
    )  # fmt: skip
    return Document(content.title, content.headline, content.details, shown)


def _tables(content: Report) -> list[Prose | Table]:
    many = len(content.tables) > 1
    several = (
        f"These methods were measured in {len(content.tables)} different environments; one whose search saw the reward "
        "is one of them. Numbers of different tables can't be compared."
    )
    acts = acting.columns(content.acts)
    return [
        *([Prose(several)] if many else []),
        *(
            comparison.table(
                "methods" if not i else f"methods{i + 1}",
                result,
                [
                    *comparison.named_by(),
                    *comparison.scores(),
                    *comparison.gaps(result),
                    *comparison.skills(result),
                    *acts,
                    *comparison.costs(),
                ],
                title=f"{result.card.name}, card {result.card.key}" if many else "",
                ours=content.ours,
            )
            for i, result in enumerate(content.tables)
        ),
    ]


def _stories(
    group: Sequence[Evaluation],
    table: ResultTable,
    ours: str,
    experts: Sequence[Trajectory],
    skills: Mapping[str, Skill],
) -> tuple[tuple[Story, ...], str]:
    runs = {e.method: e.runs[0] for e in group}
    if table.baseline in (None, ours):
        return (), f"There is no other method to hold {ours} against."
    seed = Seed("", runs[ours], runs[table.baseline], experts)
    found = studied([seed], ours, table.baseline, skills)
    return found, "" if found else f"{ours} won no task that {table.baseline} lost, in the first seed."


def _figures(
    table: ResultTable, curves: Mapping[str, Mapping[int, Estimate]], acts: Mapping[str, Acting]
) -> tuple[Figure, ...]:
    rates = {r.method: r.win_rate for r in table.rows}
    name, caption, plot = acting.drawn(rates, {m: a for m, a in acts.items() if m in rates})
    out = [Figure(name, "results", caption, plot)]
    if table.rows[0].skills:
        plot = evaluation.navigation({r.method: r.skills for r in table.rows})
        out.append(Figure("navigation", "navigation", sections.NAVIGATION, plot))
    if curves:
        out.append(Figure("curve", "curve", sections.CURVE, evaluation.curve(curves)))
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
