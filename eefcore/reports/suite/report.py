"""A suite's report: EEF Tables 1 to 4, Figures 2 and 3, models, finders, ablations, cases and why, over seeds.

    made     methods over seeds -> the document, and the plots behind its figures

Each section of a suite (`runs.suite.SECTIONS`) is a chapter; one without runs is not there. The first run of
the suite's first section is what the headline is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eefcore.evaluation.metrics import Evaluation
from eefcore.experts import collect, registry
from eefcore.experts.registry import PERFECT, STEPS, Measure
from eefcore.figures import evaluation
from eefcore.figures.plots import Plot
from eefcore.protocols import Benchmark, Skill
from eefcore.reports import acting, ranking
from eefcore.reports import sections as chapters
from eefcore.reports.comparison import ResultTable
from eefcore.reports.document.blocks import Block, Document, Points, Prose, Segment
from eefcore.reports.sections import Chapter, Drawn, chapter
from eefcore.reports.studies import Seed, studied
from eefcore.reports.suite import evidence, passes, search, tables, why
from eefcore.reports.suite import sections as suite_sections
from eefcore.reports.suite.evidence import Method, Sections
from eefcore.runs.suite import ORACLE
from eefcore.types import Trajectory


class World(NamedTuple):
    """What a suite's report must know of its environment besides the stages."""

    skills: Mapping[str, Skill]
    kinds: Mapping[str, str] = {}  # of the tasks, in words
    solutions: Sequence[Trajectory] = ()  # of a perfect expert, on the test panel
    measures: Sequence[Measure] = ()  # of how hard a task is, told by its solution


class Made(NamedTuple):
    """A suite's report, the plots behind its figures by the names of their files, and its main result."""

    document: Document
    plots: dict[str, Plot]
    result: ResultTable
    links: list[ranking.Link]
    ours: str


def world(benchmark: Benchmark) -> World:
    """What the environment and its scripts say: who makes no mistakes plays the test tasks, if there is such a one."""
    scripts = registry.find(benchmark)
    if scripts is None or PERFECT not in scripts.strengths:
        return World(benchmark.skills)
    solutions = collect.demonstrations(benchmark, [PERFECT], "test", seed=0)
    return World(benchmark.skills, scripts.kinds(benchmark), solutions, (*scripts.measures, STEPS))


def made(
    title: str,
    sections: Sections,
    world: World,
    *,
    order: str,
    baseline: str,
    dialogue: Sequence[Segment],
    command: str,
    versions: Mapping[str, str],
) -> Made:
    """The report on `sections`.

    Args:
        order: methods as the paper has them, best first, between ` > `; those that were not run are said so.
        baseline: what the others are held against; the best of them if it is not there.
        dialogue: one training row (`chapters.segments`).
    """
    ranked, methods = _named(order), main(sections)
    ours = best(order, methods).name
    experts = [] if methods[0].saw_reward else evidence.experts(methods)
    evaluations = [*experts, *(m.evaluation for m in methods)]
    result = tables.held(methods, world.skills, ours=ours, baseline=baseline, experts=experts)
    links = ranking.links(evaluations, ranked)
    seen = sections.get(ORACLE, {})
    searched = passes.blocks("main", methods)
    parts = [
        _results(result, methods, links, ranked, ours),
        chapter("made_of", "What they are made of", tables.data(methods), tables.recipes(methods)),
        *([_navigation(result, evaluations, ours, world.skills)] if world.skills else []),
        _curves(methods),
        *([chapter("searched", "What search found", *searched, short="Search")] if searched else []),
        *search.gaps(sections.get("search", {})),
        *search.unions(sections.get("union", {})),
        *suite_sections.budgets(sections.get("budget", {}), baseline),
        *suite_sections.models(sections.get("models", {}), methods, world.skills, ours, baseline),
        *suite_sections.finders(sections.get("finders", {})),
        *suite_sections.ablations(sections.get("ablation", {}), world.skills),
        *search.oracles({} if methods[0].saw_reward else seen),
        _cases(methods, result, ours, world),
        why.explained(methods, evaluations, world.solutions, world.kinds, world.measures),
    ]
    shown = (
        *(part.section for part in parts),
        *([chapters.trained(ours, dialogue)] if dialogue else []),
        chapters.ended([result], ours),
        chapters.environment([result.card, *(m.evaluation.card for run in seen.values() for m in run)]),
        chapters.WORDS,
        chapters.again(command, versions),
    )
    document = Document(title, chapters.headline(result, ours), _details(links), shown)
    plots = {name: plot for part in parts for name, plot in part.plots.items()}
    return Made(document, plots, result, links, ours)


def main(sections: Sections) -> list[Method]:
    """The methods of the first run of the first section, which the headline is about."""
    return next(iter(next(iter(sections.values())).values()))


def best(order: str, methods: Sequence[Method]) -> Method:
    """The method that `order` says is best of those that are there; the last of them if it names none."""
    known = {m.name: m for m in methods}
    return next((known[name] for name in _named(order) if name in known), methods[-1])


def summary(made: Made) -> dict[str, float | int]:
    """The main result in the keys that a suite logs (results/README.md)."""
    row = next(r for r in made.result.rows if r.method == made.ours)
    told = {
        "suite/methods": len(made.result.rows),
        "suite/seeds": row.win_rate.seeds,
        "suite/n": row.win_rate.n,
        "suite/win_rate": row.win_rate.value,
        "suite/win_rate_low": row.win_rate.low,
        "suite/win_rate_high": row.win_rate.high,
        "suite/reward": row.reward.value,
        "suite/links": len(made.links),
        "suite/links_told": sum(link.verdict == "told" for link in made.links),
    }
    if row.against is not None:
        gap = row.against.wins
        told |= {
            "suite/gap": gap.value,
            "suite/gap_low": gap.low,
            "suite/gap_high": gap.high,
            "suite/gap_p": row.holm,
        }
    return told


_WHERE = {False: "EEF Table 3", True: "Agent Q Figure 1"}


def _named(order: str) -> list[str]:
    return [name.strip() for name in order.split(">")]


def _results(
    result: ResultTable,
    methods: Sequence[Method],
    links: Sequence[ranking.Link],
    order: Sequence[str],
    ours: str,
) -> Chapter:
    searched = any(m.acting.searched for m in methods)
    ordered: list[Block] = (
        [ranking.table(links), Points(tuple(ranking.sentences(links, order)))] if links else []
    )
    return chapter(
        "results",
        "Results",
        tables.results(result, methods, title=f"Win rate and reward ({_WHERE[searched]})", ours=ours),
        acting.drawn({r.method: r.win_rate for r in result.rows}, {m.name: m.acting for m in methods}),
        *ordered,
    )


def _navigation(
    result: ResultTable, evaluations: Sequence[Evaluation], ours: str, skills: Mapping[str, Skill]
) -> Chapter:
    known = {e.method: e for e in evaluations}
    drawn = Drawn(
        "navigation", chapters.NAVIGATION, evaluation.navigation({r.method: r.skills for r in result.rows})
    )
    told = []
    if result.baseline not in (None, ours):
        told.append(Points(tuple(tables.skills_told(known[ours], known[result.baseline], skills))))
    return chapter("navigation", "Navigation", drawn, tables.skills(result, evaluations, skills), *told)


def _curves(methods: Sequence[Method]) -> Chapter:
    plot = evaluation.curve({m.name: m.curve for m in methods})
    return chapter("curve", "Over iterations", Drawn("curve", chapters.CURVE, plot))


def _cases(methods: Sequence[Method], result: ResultTable, ours: str, world: World) -> Chapter:
    known = {m.name: m for m in methods}
    better, worse = known[ours], known.get(result.baseline or "")
    if worse is None or worse is better:
        return chapter("cases", "Case studies", Prose(f"There is no other method to hold {ours} against."))
    lost = dict(zip(worse.seeds, worse.evaluation.runs, strict=True))
    seeds = [
        Seed(f"seed {seed}", run, lost[seed], shown)
        for seed, run, shown in zip(better.seeds, better.evaluation.runs, better.shown(), strict=True)
        if seed in lost
    ]
    found = studied(seeds, ours, worse.name, world.skills)
    if not found:
        return chapter("cases", "Case studies", Prose(f"{ours} won no task that {worse.name} lost."))
    return chapter("cases", "Case studies", Prose(chapters.HOW_FOUND), *found)


def _details(links: Sequence[ranking.Link]) -> tuple[str, ...]:
    told = sum(link.verdict == "told" for link in links)
    order = " > ".join([*(link.better for link in links[:1]), *(link.worse for link in links)])
    return (f"The paper’s order, {order}: {told} of {len(links)} links are told.",) if links else ()
