"""The sections of a suite's report beside its main table: budgets, other models, finders, variants.

Each takes the runs of its section, methods over seeds by the params file's stem; one without runs is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.stats import Estimate
from eefcore.figures import evaluation, suite
from eefcore.protocols import Skill
from eefcore.reports import acting, comparison
from eefcore.reports.document.blocks import Block
from eefcore.reports.sections import Chapter, Drawn, chapter
from eefcore.reports.suite import finders as suite_finders
from eefcore.reports.suite import passes, tables
from eefcore.reports.suite.evidence import Method


def budgets(runs: Mapping[str, Sequence[Method]], baseline: str) -> list[Chapter]:
    """Figure 3: win rate against what one iteration simulates, as a figure and a table."""
    methods = [m for run in runs.values() for m in run]
    if not methods:
        return []
    result = tables.held(methods, {}, ours="", baseline=baseline)
    lines: dict[str, dict[float, Estimate]] = {}
    for m, row in zip(methods, result.rows, strict=True):
        lines.setdefault(tables.series(m), {})[round(m.simulated.value, 2)] = row.win_rate
    caption = "Win rate against the simulations of a task in one iteration: N of RFT × N, and 1 + M of each expert’s."
    drawn = Drawn("budget", caption, evaluation.budget(lines))
    return [chapter("budget", "Simulation budget", drawn, tables.budgets(result, methods))]


def models(
    others: Mapping[str, Sequence[Method]],
    methods: Sequence[Method],
    skills: Mapping[str, Skill],
    ours: str,
    baseline: str,
) -> list[Chapter]:
    """Other models than the first run's, and its methods of the same names."""
    if not others:
        return []
    named = {m.name for run in others.values() for m in run}
    runs = {"": [m for m in methods if m.name in named], **others}
    rates: dict[str, dict[str, Estimate]] = {}
    shown = []
    for stem, run in ((stem, run) for stem, run in runs.items() if run):
        model = run[0].recipe.base
        if stem:
            result = tables.held(run, skills, ours=ours, baseline=baseline)
            shown.append(tables.results(result, run, name=f"models_{stem}", title=model, ours=ours))
        for m in run:
            of = rates.setdefault(m.name, {})
            of[f"{model} ({stem})" if model in of else model] = metrics.win_rate(*m.evaluation.runs)
    caption = "The same methods from the same expert data, on several models."
    drawn = Drawn("models", caption, suite.models(rates))
    return [chapter("models", "Different models", drawn, *shown)]


def finders(runs: Mapping[str, Sequence[Method]]) -> list[Chapter]:
    """Finders of beneficial segments, each against the first of its run."""
    blocks: list[Block | Drawn] = []
    caption = "What each finder simulated from expert states, and the share it solved of the tasks that no expert won."
    for stem, methods in runs.items():
        found = suite_finders.read(methods)
        points = {f.method: (stats.mean(f.spent), stats.rate(f.newly)) for f in found}
        blocks += [
            Drawn(f"finders_{stem}", caption, suite.finders(points)),
            suite_finders.table(f"finders_{stem}", found),
        ]
    return [chapter("finders", "Finding beneficial segments", *blocks)] if blocks else []


def ablations(runs: Mapping[str, Sequence[Method]], skills: Mapping[str, Skill]) -> list[Chapter]:
    """Variants against the first of their run."""
    blocks: list[Block | Drawn] = []
    for stem, methods in runs.items():
        first = methods[0].name
        result = tables.held(methods, skills, ours="", baseline=first)
        rates = evaluation.win_rates({r.method: r.win_rate for r in result.rows})
        acts = acting.columns({m.name: m.acting for m in methods})
        blocks += [
            comparison.table(
                f"ablation_{stem}",
                result,
                [
                    *comparison.named_by("Variant"),
                    *comparison.scores(),
                    *comparison.gaps(result),
                    *comparison.skills(result),
                    *acts,
                    *comparison.costs(),
                ],
                title=f"{stem}: against {first}",
                ours=first,
            ),
            Drawn(
                f"ablation_{stem}", f"Win rate of variants, with 95 % intervals; {first} is the first.", rates
            ),
            *passes.blocks(stem, methods),
        ]
    return [chapter("ablation", "Variants", *blocks)] if blocks else []
