"""What a suite's report says of search: acting at once against searching, both papers at one budget, the upper bound.

    gaps       win rate over simulations before each action, and pass@k of the searches that were learnt from (§7)
    unions     methods of both papers from the same data, every one against every other
    oracles    what search at test time could do that sees the reward: tables of their own (DESIGN 4.5)

Each takes the runs of a section, methods over seeds by the params file's stem; one without runs is not there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.formatting import p_value, signed
from eefcore.evaluation.stats import Estimate
from eefcore.figures import acting as acting_figures
from eefcore.figures import evaluation
from eefcore.reports import acting, comparison, ranking
from eefcore.reports.comparison import Columns, MethodRow, ResultTable
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Block, Points, Prose
from eefcore.reports.document.cells import Column, Table
from eefcore.reports.sections import Chapter, Drawn, chapter
from eefcore.reports.suite import passes, tables
from eefcore.reports.suite.evidence import Method


def gaps(runs: Mapping[str, Sequence[Method]]) -> list[Chapter]:
    """Acting at once against searching, over budgets and rounds of training."""
    blocks: list[Block | Drawn] = []
    for stem, methods in runs.items():
        models = _models(methods)
        lines = {name: line for name, of in models.items() if len(line := _line(of)) > 1}
        rows = _held(models)
        blocks += [
            *([Drawn(f"gap_{stem}", _GAP, acting_figures.gap(lines))] if lines else []),
            _table(f"gap_{stem}", models, rows),
            *([Points(tuple(told))] if (told := _told(models, rows)) else []),
            *passes.blocks(stem, methods),
        ]
    return [chapter("gap", "Acting at once and searching", *blocks, short="Gap")] if blocks else []


_GAP = (
    "Test panel: win rate over the simulations before each action, by a search that knows the critic’s opinion alone; "
    "at 0 the agent acts at once. A line a model."
)


def unions(runs: Mapping[str, Sequence[Method]]) -> list[Chapter]:
    """Methods from the same data at one budget, every two of them compared."""
    blocks: list[Block | Drawn] = []
    for stem, methods in runs.items():
        first = methods[0].name
        result = tables.held(methods, {}, ours="", baseline=first)
        rates = evaluation.win_rates({r.method: r.win_rate for r in result.rows})
        recipes = tables.recipes(methods)
        blocks += [
            tables.results(result, methods, name=f"union_{stem}"),
            Drawn(f"union_{stem}", "Win rate with 95 % intervals.", rates),
            ranking.table(
                ranking.pairs([m.evaluation for m in methods]), f"pairs_{stem}", "Every two of them"
            ),
            replace(recipes, name=f"recipes_{stem}", title="What each uses"),
            *passes.blocks(stem, methods),
        ]
    return [chapter("union", "Expert failures and search", *blocks, short="Union")] if blocks else []


def oracles(runs: Mapping[str, Sequence[Method]]) -> list[Chapter]:
    """Methods whose search at test time saw the reward, each run a table, held against its first."""
    blocks: list[Block | Drawn] = []
    for stem, methods in runs.items():
        result = tables.held(methods, {}, ours="", baseline=methods[0].name)
        rates = {r.method: r.win_rate for r in result.rows}
        blocks += [
            tables.results(result, methods, name=f"oracle_{stem}"),
            acting.drawn(rates, {m.name: m.acting for m in methods}, name=f"oracle_{stem}"),
        ]
    return [chapter("oracle", "Upper bound", Prose(_ORACLE), *blocks)] if blocks else []


_ORACLE = (
    "These searches saw the reward of what they rehearsed, as no agent can that acts for good. They bound what search at "
    "test time can bring, are under an environment card of their own, and are compared with no number of another table."
)

# ------------------------------------------------------------------------------ the gap

Models = dict[str, list[Method]]
"""Methods by the model that acts, the one that acts at once first."""


def _models(methods: Sequence[Method]) -> Models:
    """Those that share their last model in any seed differ in how they act; who acts as another does has its own line.

    That is one with another critic, which is no other model.
    """
    groups: list[list[Method]] = []
    for m in methods:
        fit = (g for g in groups if g[0].models & m.models and m.acting.how not in {o.acting.how for o in g})
        group = next(fit, None)
        if group is None:
            groups.append([m])
        else:
            group.append(m)
    ordered = [sorted(g, key=lambda m: (m.acting.searched, m.acting.before)) for g in groups]
    return {g[0].name: g for g in ordered}


def _line(methods: Sequence[Method]) -> dict[int, Estimate]:
    """Win rate by simulations before each action, of those that act at once or grow trees."""
    return {
        m.acting.before: metrics.win_rate(*m.evaluation.runs)
        for m in methods
        if m.acting.before or not m.acting.searched
    }


def _held(models: Models) -> dict[str, MethodRow]:
    """Each method against its model acting at once; p corrected for all of them."""
    rows = []
    for methods in models.values():
        first, *_ = methods
        found = tables.held(methods, {}, ours="", baseline=first.name).rows
        rows += [r._replace(against=None) if first.acting.searched else r for r in found]
    corrected = stats.holm([math.nan if r.against is None else r.against.wins.p for r in rows])
    return {r.method: r._replace(holm=p) for r, p in zip(rows, corrected, strict=True)}


def _table(name: str, models: Models, rows: Mapping[str, MethodRow]) -> Table:
    methods = [m for of in models.values() for m in of]
    model = {m.name: name for name, of in models.items() for m in of}
    result = ResultTable(methods[0].evaluation.card, tuple(rows[m.name] for m in methods), "acting at once")
    columns: Columns = [
        *comparison.named_by(),
        (Column("model of", key="model", words=True), lambda r: cells.words(model[r.method])),
        *comparison.scores(),
        *comparison.gaps(result),
        *acting.columns({m.name: m.acting for m in methods}),
    ]
    table = comparison.table(name, result, columns, title="Each model, at once and with search")
    return replace(table, note=f"{table.note} {acting.NOTE}")


def _told(models: Models, rows: Mapping[str, MethodRow]) -> list[str]:
    """The gap of each model at the most simulations that it was given, in a sentence."""
    out = []
    for name, methods in models.items():
        most = max(methods, key=lambda m: m.acting.before)
        row = rows[most.name]
        if most.acting.before and row.against is not None and row.against.wins.n:
            gap = row.against.wins
            interval = f"95 % interval {signed(gap.low)} to {signed(gap.high)}"
            holm = p_value(row.holm).replace("p", "Holm’s p", 1)
            out.append(
                f"{name}: {most.acting.before} simulations before each action bring {signed(gap.value)} points "
                f"({interval}, {holm})."
            )
    return out
