"""Build the report of a run or of a suite: EEF Tables 1 to 4, Figures 2 and 3, models, variants, case studies, and why.

A run is a suite of one seed and one section (`evidence.read_run`). Each section of a suite (`runs.suite.SECTIONS`) becomes
a section of the report, and is left out if it has no runs. The headline is about the first run of the first section.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from eefcore.evaluation.formatting import compact, percent
from eefcore.evaluation.panel import Evaluation
from eefcore.experts import collect, registry
from eefcore.experts.registry import PERFECT, STEPS, Measure
from eefcore.figures import evaluation
from eefcore.figures.plots import Plot
from eefcore.protocols import Benchmark, Skill
from eefcore.reports import (
    comparison,
    finders,
    irreversible,
    judged,
    learning_rates,
    payoff,
    pooling,
    search,
    sections,
    tables,
)
from eefcore.reports.analysis import analysis_chapter
from eefcore.reports.case_studies import SeedPanels, select_case_studies
from eefcore.reports.comparison import Link, ResultTable
from eefcore.reports.document import blocks, cells, html, markdown
from eefcore.reports.document.blocks import Block, Chapter, Document, Figure, Points, Prose, chapter
from eefcore.reports.document.cells import Table
from eefcore.reports.evidence import Method, Sections, expert_evaluations
from eefcore.reports.outcomes import collect_outcomes
from eefcore.reports.payoff import CellSeed
from eefcore.reports.pooling import Pool
from eefcore.runs.suite import ORACLE
from eefcore.storage import stages
from eefcore.tracking.stage import Stage
from eefcore.types import Trajectory


class BenchmarkFacts(NamedTuple):
    """What a report needs of a benchmark: skills, task kinds, perfect solutions, measures of difficulty."""

    skills: Mapping[str, Skill]
    kinds: Mapping[str, str] = {}  # the kind of each task, in words
    solutions: Sequence[Trajectory] = ()  # a perfect expert's, on the test set
    measures: Sequence[Measure] = ()  # of how hard a task is, by its solution


class Report(NamedTuple):
    """A finished report, the plots behind its figures by the stems of their files, its main result, and the outcomes behind it."""

    document: Document
    plots: dict[str, Plot]
    result: ResultTable
    links: list[Link]
    ours: str
    pool: Pool

    @property
    def tables(self) -> list[Table]:
        """All tables of the report, in order; the first has the main result."""
        return blocks.tables(self.document)

    @property
    def case_study(self) -> str:
        """The first case study as text; the headline if there is none."""
        found = blocks.case_studies(self.document)
        return markdown.case_study_text(found[0]) if found else self.document.headline


def benchmark_facts(benchmark: Benchmark) -> BenchmarkFacts:
    """Return the skills of an environment, and what its scripted experts add; a perfect one plays the test tasks."""
    scripts = registry.find_experts(benchmark)
    if scripts is None or PERFECT not in scripts.strengths:
        return BenchmarkFacts(benchmark.skills)
    solutions = collect.demonstrations(benchmark, [PERFECT], "test", seed=0)
    return BenchmarkFacts(benchmark.skills, scripts.kinds(benchmark), solutions, (*scripts.measures, STEPS))


def build_report(
    title: str,
    methods: Sections,
    facts: BenchmarkFacts,
    *,
    command: str,
    format: str = "",
    template_args: str | None = None,
    order: str = "",
    baseline: str = "",
) -> Report:
    """Build the report on a run or a suite.

    Args:
        methods: those of `evidence.read_run` or `evidence.read_suite`.
        command: what makes the results again.
        format: the format of the training row to read; without it the report shows none.
        template_args: arguments of the model's chat template, if that format has one.
        order: methods as the paper ranks them, best first, between ` > `; the headline is about the first that was run, or
            the last method if none was. The report names those that were not run.
        baseline: the method to compare with; the best of the others if it was not run.
    """
    ranked = [name.strip() for name in order.split(">") if name.strip()]
    main = next(iter(next(iter(methods.values())).values()))
    by_name = {m.name: m for m in main}
    shown = next((by_name[name] for name in ranked if name in by_name), main[-1])
    ours = shown.name
    experts = [] if main[0].saw_reward else expert_evaluations(main)
    evaluations = [*experts, *(m.evaluation for m in main)]
    result = tables.compare_methods(main, facts.skills, ours=ours, baseline=baseline, experts=experts)
    links = comparison.links(evaluations, ranked)
    further: dict[str, Callable[[Mapping[str, Sequence[Method]]], Chapter]] = {
        "search": lambda runs: search.search_gaps(runs, facts.kinds),
        "union": search.unions,
        "budget": lambda runs: sections.budgets(runs, baseline),
        "models": lambda runs: sections.models(runs, main, facts.skills, ours, baseline),
        "finders": finders.finder_chapter,
        "ablation": lambda runs: sections.ablations(runs, facts.skills),
        "sweep": sections.sweeps,
        "map": lambda runs: _map(mapped, runs),
        ORACLE: lambda runs: search.upper_bounds(runs, facts.kinds),
    }
    if main[0].saw_reward:
        del further[ORACLE]
    mapped = payoff.read_cells(methods.get("map", {}), facts.skills)
    rounds = search.search_rounds_blocks("main", main)
    curves = {m.name: m.curve for m in main}
    chapters = [
        _results(result, main, links, ranked, ours, search.ceiling_tables("ceiling_main", main, facts.kinds)),
        chapter(
            "made_of",
            "What they are made of",
            sections.method_lines(main),
            tables.data(main),
            *tables.unexplored(main),
            tables.recipes(main),
            sections.settings(main),
            sections.chosen_models(main),
        ),
        *([_navigation(result, evaluations, ours, facts.skills)] if facts.skills else []),
        chapter(
            "curve",
            "Over iterations",
            Figure("curve", sections.CURVE, evaluation.curve(curves)),
            sections.on_dev("dev", main),
        ),
        *([chapter("searched", "What search found", *rounds, short="Search")] if rounds else []),
        *(make(methods[name]) for name, make in further.items() if methods.get(name)),
        *learning_rates.rate_chapter(methods),
        _case_studies(main, result, ours, facts.skills),
        analysis_chapter(main, evaluations, facts.solutions, facts.kinds, facts.measures),
    ]
    every = [m for runs in methods.values() for run in runs.values() for m in run]
    bound_cards = (m.ceiling_card for m in every if m.saw_reward or m.ceilings)
    trees = (m.example_tree() for m in reversed(main))
    shown_sections = (
        *(c.section for c in chapters),
        *sections.training_row(ours, shown.training_row(format, template_args) if format else []),
        *sections.search_tree(next((tree for tree in trees if tree), None)),
        sections.outcomes(result, ours),
        *irreversible.irreversible_actions(main),
        *judged.judge_agreement(main),
        sections.environment_cards([result.card, *bound_cards]),
        sections.WORDS,
        sections.reproduction(command, shown.versions),
    )
    document = Document(title, sections.headline(result, ours), _details(result, links, ours), shown_sections)
    plots = {name: plot for c in chapters for name, plot in c.plots.items()}
    pool = Pool(collect_outcomes(methods, experts), tuple(mapped))
    return Report(document, plots, result, links, ours, pool)


def save_report(report: Report, stage: Stage) -> None:
    """Write the report to its stage, and the page and its data to the run's folder as well."""
    save_document(report.document, report.plots, stage)
    run = stages.run_folder(stage.run)
    pooling.write_pool(stage.folder, report.pool)
    html.write_html(run / "report.html", report.document)
    blocks.write_document(run / blocks.FILE, report.document)


def save_document(document: Document, plots: Mapping[str, Plot], stage: Stage) -> None:
    """Write a document to the stage that made it: tables, figures, `report.html` and `report.md`."""
    for table in blocks.tables(document):
        stage.table(table.name, *cells.csv_rows(table))
    for name, plot in plots.items():
        stage.figure(name, plot)
    html.write_html(stage.folder / "report.html", document)
    markdown.write_markdown(stage.folder / "report.md", document)


def summary(report: Report) -> dict[str, float | int]:
    """Return the main result by the keys that a suite logs (results/README.md)."""
    row = next(r for r in report.result.rows if r.method == report.ours)
    out = {
        "suite/methods": len(report.result.rows),
        "suite/seeds": row.win_rate.seeds,
        "suite/n": row.win_rate.n,
        "suite/win_rate": row.win_rate.value,
        "suite/win_rate_low": row.win_rate.low,
        "suite/win_rate_high": row.win_rate.high,
        "suite/reward": row.reward.value,
        "suite/links": len(report.links),
        "suite/links_told": sum(link.significant for link in report.links),
    }
    if row.against is not None:
        gap = row.against.wins
        out |= {
            "suite/gap": gap.value,
            "suite/gap_low": gap.low,
            "suite/gap_high": gap.high,
            "suite/gap_p": row.holm,
        }
    return out


_TITLES = {False: "EEF Table 3", True: "Agent Q Figure 1"}


def _results(
    result: ResultTable,
    methods: Sequence[Method],
    links: Sequence[Link],
    order: Sequence[str],
    ours: str,
    ceilings: Sequence[Table],
) -> Chapter:
    title = f"Win rate and reward ({_TITLES[any(m.inference.searches for m in methods)]})"
    ordered: list[Block] = (
        [comparison.link_table(links), Points(tuple(comparison.link_sentences(links, order)))]
        if links
        else []
    )
    return chapter(
        "results",
        "Results",
        tables.results(result, methods, title=title, ours=ours),
        tables.win_rate_figure(
            {r.method: r.win_rate for r in result.rows}, {m.name: m.inference for m in methods}
        ),
        *ordered,
        *ceilings,
    )


def _map(found: Sequence[CellSeed], runs: Mapping[str, Sequence[Method]]) -> Chapter:
    return payoff.payoff_chapter(found, {run: [m.evaluation for m in of] for run, of in runs.items()})


def _navigation(
    result: ResultTable, evaluations: Sequence[Evaluation], ours: str, skills: Mapping[str, Skill]
) -> Chapter:
    by_name = {e.method: e for e in evaluations}
    plot = evaluation.navigation({r.method: r.skills for r in result.rows})
    figure = Figure("navigation", sections.NAVIGATION, plot)
    sentences = []
    if result.baseline not in (None, ours):
        sentences.append(
            Points(tuple(tables.skill_sentences(by_name[ours], by_name[result.baseline], skills)))
        )
    table = tables.skills(result, evaluations, skills)
    return chapter("navigation", "Navigation", figure, sections.skill_lines(skills), table, *sentences)


def _case_studies(
    methods: Sequence[Method], result: ResultTable, ours: str, skills: Mapping[str, Skill]
) -> Chapter:
    by_name = {m.name: m for m in methods}
    better, worse = by_name[ours], by_name.get(result.baseline or "")
    if worse is None or worse is better:
        return chapter("cases", "Case studies", Prose(f"There is no other method to compare {ours} with."))
    lost = dict(zip(worse.seeds, worse.evaluation.runs, strict=True))
    several = len(better.seeds) > 1
    seeds = [
        SeedPanels(f"seed {seed}" if several else "", run, lost[seed], experts)
        for seed, run, experts in zip(
            better.seeds, better.evaluation.runs, better.expert_panels(), strict=True
        )
        if seed in lost
    ]
    found = select_case_studies(seeds, ours, worse.name, skills)
    if not found:
        return chapter("cases", "Case studies", Prose(f"{ours} won no task that {worse.name} lost."))
    return chapter("cases", "Case studies", Prose(sections.CASE_RULE), *found)


# ------------------------------------------------------------------------------ details below the headline


def _details(result: ResultTable, links: Sequence[Link], ours: str) -> tuple[str, ...]:
    """Say which differences are significant, and how `ours` compares with the baseline by skill and in cost."""
    significant = comparison.significant_differences(links) if links else _significant_gaps(result)
    out = [significant] if significant else []
    rows = {r.method: r for r in result.rows}
    row, other = rows[ours], rows.get(result.baseline or "")
    if other is None or other is row:
        return tuple(out)
    out += [
        f"{skill}: {ours} wins {percent(of.success.value)} of tasks by using it, {other.method} "
        f"{percent(other.skills[skill].success.value)}."
        for skill, of in row.skills.items()
    ]
    if row.cost is not None and other.cost is not None:
        a_seed = " a seed" if row.win_rate.seeds > 1 else ""
        out.append(
            f"Cost{a_seed}: {compact(row.cost.episodes)} simulations and {compact(row.cost.tokens_trained)} trained tokens, "
            f"against {compact(other.cost.episodes)} and {compact(other.cost.tokens_trained)}."
        )
    return tuple(out)


def _significant_gaps(result: ResultTable) -> str:
    """Say which methods differ significantly from the baseline; empty if none was compared with it."""
    baseline = sections.spoken_name(result.baseline or "")
    compared = [(r, r.against.wins.value) for r in result.rows if r.against is not None]
    gaps = [
        comparison.better_of(sections.spoken_name(r.method), baseline, gap)
        for r, gap in compared
        if r.significant
    ]
    if gaps:
        return f"Significant differences. {'; '.join(gaps)}."
    return f"No difference from {baseline} is significant." if compared else ""
