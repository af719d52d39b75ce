"""The tables of a suite's report: EEF Tables 1 to 4, and Figure 3 as a table.

Each takes methods over seeds (`suite_evidence`) and returns a `document.Table`; what it says in words is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.formatting import percent
from eefcore.evaluation.metrics import Evaluation
from eefcore.evaluation.stats import Array, Estimate
from eefcore.protocols import Skill
from eefcore.reports import acting, comparison
from eefcore.reports.comparison import Columns, MethodRow, ResultTable, compared
from eefcore.reports.document import cells
from eefcore.reports.document.cells import BLANK, Cell, Column, Table
from eefcore.reports.suite.evidence import Method, demonstrated
from eefcore.types import Trajectory


def data(methods: Sequence[Method]) -> Table:
    """Table 1: of each expert how many trajectories a seed, how many won, how long, and what one costs."""
    rows = []
    for name, seeds in demonstrated(methods).items():
        won, reward, length, money = (
            _values(seeds, score)
            for score in (
                lambda t: float(t.win),
                lambda t: t.reward,
                lambda t: float(len(t)),
                lambda t: t.money,
            )
        )
        rows.append(
            (
                cells.words(name),
                cells.count(sum(map(len, seeds)) / len(seeds), *_seeds(len(seeds))),
                cells.count(sum(t.win for seed in seeds for t in seed) / len(seeds)),
                cells.share(stats.rate(won)),
                cells.score(stats.mean(reward), 3),
                cells.score(stats.mean(length)),
                cells.count(float(np.mean(money)), digits=3),
            )
        )
    names = ("trajectories", "positive", "win rate", "reward", "mean length", "$ per trajectory")
    return Table(
        "data",
        (Column("Expert", key="expert", words=True), *map(Column, names)),
        tuple(rows),
        title="What the experts demonstrated (EEF Table 1)",
        note="Of the training tasks, per seed. Small print: 95 % intervals over seeds and tasks.",
    )


def recipes(methods: Sequence[Method]) -> Table:
    """Table 2: what each method uses, as its stages recorded it; where some grow trees, also how it explores and learns."""
    columns: list[tuple[Column, Callable[[Method], Cell]]] = [
        (Column("Method", key="method", words=True), lambda m: cells.words(m.name)),
        (
            Column("negative trajectories", words=True),
            lambda m: cells.words("yes" if m.recipe.negatives else "no"),
        ),
        (Column("iterations"), lambda m: cells.count(m.recipe.iterations)),
        (
            Column("simulations a task and iteration"),
            lambda m: cells.count(m.simulated.value, digits=1) if m.recipe.explores else cells.count(0),
        ),
        (Column("experts", words=True), lambda m: cells.words(m.recipe.experts)),
        (Column("signals of the search", words=True), lambda m: cells.words(m.recipe.signals)),
    ]
    if any(m.recipe.K for m in methods):
        columns += [
            (Column("explores by", words=True), lambda m: cells.words(_explores(m))),
            (Column("learns from", words=True), lambda m: cells.words(m.recipe.learns)),
        ]
    return Table(
        "recipes",
        tuple(column for column, _ in columns),
        tuple(tuple(cell(m) for _, cell in columns) for m in methods),
        title="What each method uses (EEF Table 2)",
        note="Computed from what the stages recorded, not from names.",
    )


def held(
    methods: Sequence[Method],
    skills: Mapping[str, Skill],
    *,
    ours: str,
    baseline: str,
    experts: Sequence[Evaluation] = (),
) -> ResultTable:
    """The methods over their seeds, and experts alone, each held against `baseline` (`comparison.compared`)."""
    return compared(
        [*experts, *(m.evaluation for m in methods)],
        skills,
        ours=ours,
        baseline=baseline,
        costs={m.name: m.cost for m in methods},
    )


def results(
    result: ResultTable, methods: Sequence[Method], *, name: str = "methods", title: str = "", ours: str = ""
) -> Table:
    """Table 3: win rate and reward, the gap to the baseline, which signals the search used, what it cost."""
    signals = {m.name: m.recipe.signals for m in methods}
    acts = acting.columns({m.name: m.acting for m in methods})

    def signal(row: MethodRow) -> Cell:
        return cells.words(signals[row.method]) if row.method in signals else BLANK

    columns: Columns = [
        *comparison.named_by(),
        *comparison.scores(),
        *comparison.gaps(result),
        (Column("signals of the search", key="signals", words=True), signal),
        *acts,
        *comparison.costs(),
    ]
    table = comparison.table(name, result, columns, title=title, ours=ours)
    return replace(table, note=f"{table.note} {acting.NOTE}") if acts else table


def skills(result: ResultTable, evaluations: Sequence[Evaluation], counted: Mapping[str, Skill]) -> Table:
    """Table 4: success and attempt of each skill, and how many times as often as the baseline one wins by it."""
    known = {e.method: e for e in evaluations}
    reference = known.get(result.baseline or "")

    def ratio(skill: Skill) -> Callable[[MethodRow], Cell]:
        def cell(row: MethodRow) -> Cell:
            if reference is None or row.method == reference.method:
                return BLANK
            return times(metrics.skill_win_ratio(known[row.method], reference, skill))

        return cell

    group = f"Success, times that of {result.baseline}"
    ratios: Columns = [(Column(s, group, f"{s} ratio"), ratio(p)) for s, p in counted.items()]
    columns = [*comparison.named_by(), *comparison.skills(result), *(ratios if reference else [])]
    note = f"Card {result.card.key}. Small print: 95 % intervals; of ratios from the paired bootstrap over seeds and tasks."
    table = comparison.table("skills", result, columns, title="Success and attempts (EEF Table 4)")
    return replace(table, note=note)


def times(ratio: Estimate) -> Cell:
    """How many times as often. Where one of the two never does, nothing bounds the ratio: it has no interval."""
    if math.isnan(ratio.value):
        return BLANK
    if ratio.value == 0 or math.isinf(ratio.value):
        told = "0 ×" if ratio.value == 0 else "∞ ×"
        return Cell(told, (), {"": ratio.value, "n": ratio.n, "seeds": ratio.seeds})
    low, high = (f"{x:.1f}" if math.isfinite(x) else "∞" for x in (ratio.low, ratio.high))
    values = {"": ratio.value, "low": ratio.low, "high": ratio.high, "n": ratio.n, "seeds": ratio.seeds}
    return Cell(f"{ratio.value:.1f} ×", (f"{low} – {high}",), values)


def skills_told(ours: Evaluation, other: Evaluation, counted: Mapping[str, Skill]) -> list[str]:
    """Whether `ours` wins at least twice as many tasks by each skill as `other` does, in a sentence a skill."""
    out = []
    for name, skill in counted.items():
        ratio = metrics.skill_win_ratio(ours, other, skill)
        won = [
            percent(metrics.navigation_rates({name: skill}, *e.runs)[name].success.value)
            for e in (ours, other)
        ]
        said = f"{name}: {ours.method} wins {won[0]} of the tasks by using it, {other.method} {won[1]}"
        if not math.isfinite(ratio.value) or ratio.value == 0:
            out.append(f"{said}.")
            continue
        twice = "are" if ratio.low >= 2 else "are not" if ratio.high < 2 else "can’t be told to be"
        interval = times(ratio)
        out.append(
            f"{said}: {interval.text.removesuffix(' ×')} times as many (95 % interval {interval.small[0]}); they {twice} at least twice as many."
        )
    return out


def budgets(result: ResultTable, methods: Sequence[Method]) -> Table:
    """Figure 3 as a table: what is simulated per task and iteration, and what comes of it."""
    known = {m.name: m for m in methods}
    setting: Columns = [
        (Column("line", words=True), lambda row: cells.words(series(known[row.method]))),
        (Column("N", key="samples"), lambda row: cells.count(known[row.method].recipe.samples)),
        (Column("M"), lambda row: cells.count(known[row.method].recipe.M)),
        (Column("simulations a task"), lambda row: cells.count(known[row.method].simulated.value, digits=2)),
    ]
    columns = [*comparison.named_by(), *setting, *comparison.scores(), *comparison.costs()]
    return replace(
        comparison.table("budget", result, columns),
        note=f"Card {result.card.key}. Simulations a task and iteration, as they were counted. Small print: 95 % intervals.",
    )


def series(method: Method) -> str:
    """The line of Figure 3 that a method is a point of."""
    recipe = method.recipe
    if not method.recipe.explores:
        return method.name
    if recipe.K:
        return "trees along experts" if recipe.M else "trees"
    if not recipe.M:
        return "RFT × N"
    finder = "" if recipe.finder in ("", "fixed") else f", {recipe.finder}"
    return f"EEF, M of {recipe.explored}{finder}"


def _explores(method: Method) -> str:
    if not method.recipe.explores:
        return "–"
    along = f", along {method.recipe.explored}" if method.recipe.M else ""
    return f"trees, K = {method.recipe.K}{along}" if method.recipe.K else f"episodes{along}"


def _values(seeds: Sequence[Sequence[Trajectory]], score: Callable[[Trajectory], float]) -> Array:
    """[R, T], or all in one row where seeds tried different tasks."""
    panels = {tuple(t.task_id for t in seed) for seed in seeds}
    if len(panels) == 1:
        return np.array([[score(t) for t in seed] for seed in seeds])
    return np.array([[score(t) for seed in seeds for t in seed]])


def _seeds(n: int) -> tuple[str, ...]:
    return (f"× {n} seeds",) if n > 1 else ()
