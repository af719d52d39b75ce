"""Build the tables of a report: EEF Tables 1 to 4, and Figure 3 as a table, each from methods over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.formatting import percent
from eefcore.evaluation.navigation import navigation_rates, skill_win_ratio
from eefcore.evaluation.panel import Evaluation
from eefcore.evaluation.stats import Array, Estimate
from eefcore.protocols import Skill
from eefcore.reports import comparison, inference
from eefcore.reports.comparison import Columns, MethodRow, ResultTable, compare_evaluations
from eefcore.reports.document import cells
from eefcore.reports.document.cells import BLANK, Cell, Column, Table
from eefcore.reports.evidence import Method, expert_demonstrations
from eefcore.types import Trajectory


def data(methods: Sequence[Method]) -> Table:
    """Return EEF Table 1: how many trajectories each expert demonstrated a seed, how many won, how long they are, what one costs."""
    rows = []
    for name, seeds in expert_demonstrations(methods).items():
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
    """Return EEF Table 2: what each method uses, as its stages recorded it; if some grow trees, also how each explores and learns."""
    columns: list[tuple[Column, Callable[[Method], Cell]]] = [
        (Column("Method", key="method", words=True), lambda m: cells.words(m.name)),
        (
            Column("negative trajectories", words=True),
            lambda m: cells.words("yes" if m.recipe.negatives else "no"),
        ),
        (Column("iterations"), lambda m: cells.count(m.recipe.iterations)),
        (
            Column("simulations a task and iteration"),
            lambda m: (
                cells.count(m.simulations_per_task.value, digits=1) if m.recipe.explores else cells.count(0)
            ),
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


def compare_methods(
    methods: Sequence[Method],
    skills: Mapping[str, Skill],
    *,
    ours: str = "",
    baseline: str = "",
    experts: Sequence[Evaluation] = (),
) -> ResultTable:
    """Compare methods over their seeds, and the experts, with `baseline` (`comparison.compare_evaluations`).

    Without it the baseline is the best of the methods other than `ours` on the test set, since it is named after the fact
    whatever set it is chosen on; if there are no others, the best expert.
    """
    rates = {m.name: metrics.win_rate(*m.evaluation.runs).value for m in methods}
    if baseline not in rates and baseline not in {e.method for e in experts}:
        others = [name for name, rate in rates.items() if name != ours and not math.isnan(rate)]
        baseline = max(others, key=lambda name: rates[name], default="")
    return compare_evaluations(
        [*experts, *(m.evaluation for m in methods)],
        skills,
        ours=ours,
        baseline=baseline,
        costs={m.name: m.cost for m in methods},
    )


def results(
    result: ResultTable, methods: Sequence[Method], *, name: str = "methods", title: str = "", ours: str = ""
) -> Table:
    """Return EEF Table 3: win rate and reward, the gap to the baseline, the signals that the search used, and the cost."""
    signals = {m.name: m.recipe.signals for m in methods}
    acts = inference.inference_columns({m.name: m.inference for m in methods})

    def signal(row: MethodRow) -> Cell:
        return cells.words(signals[row.method]) if row.method in signals else BLANK

    columns: Columns = [
        *comparison.method_columns(),
        *comparison.score_columns(),
        *comparison.gap_columns(result),
        (Column("signals of the search", key="signals", words=True), signal),
        *acts,
        *comparison.cost_columns(),
    ]
    table = comparison.table(name, result, columns, title=title, ours=ours)
    return replace(table, note=f"{table.note} {inference.NOTE}") if acts else table


def skills(result: ResultTable, evaluations: Sequence[Evaluation], counted: Mapping[str, Skill]) -> Table:
    """Return EEF Table 4: success and attempt of each skill, and the ratio of each success to that of the baseline."""
    by_name = {e.method: e for e in evaluations}
    reference = by_name.get(result.baseline or "")

    def ratio(skill: Skill) -> Callable[[MethodRow], Cell]:
        def cell(row: MethodRow) -> Cell:
            if reference is None or row.method == reference.method:
                return BLANK
            return ratio_cell(skill_win_ratio(by_name[row.method], reference, skill))

        return cell

    group = f"Success, times that of {result.baseline}"
    ratios: Columns = [(Column(s, group, f"{s} ratio"), ratio(p)) for s, p in counted.items()]
    columns = [
        *comparison.method_columns(),
        *comparison.skill_columns(result),
        *(ratios if reference else []),
    ]
    note = f"Card {result.card.key}. Small print: 95 % intervals; of ratios from the paired bootstrap over seeds and tasks."
    table = comparison.table("skills", result, columns, title="Success and attempts (EEF Table 4)")
    return replace(table, note=note)


def ratio_cell(ratio: Estimate) -> Cell:
    """Return a cell with a ratio; where one of the two is never seen, nothing bounds the ratio and it has no interval."""
    if math.isnan(ratio.value):
        return BLANK
    if ratio.value == 0 or math.isinf(ratio.value):
        text = "0 ×" if ratio.value == 0 else "∞ ×"
        return Cell(text, (), {"": ratio.value, "n": ratio.n, "seeds": ratio.seeds})
    low, high = (f"{x:.1f}" if math.isfinite(x) else "∞" for x in (ratio.low, ratio.high))
    values = {"": ratio.value, "low": ratio.low, "high": ratio.high, "n": ratio.n, "seeds": ratio.seeds}
    return Cell(f"{ratio.value:.1f} ×", (f"{low} – {high}",), values)


def skill_sentences(ours: Evaluation, other: Evaluation, counted: Mapping[str, Skill]) -> list[str]:
    """Say for each skill how many times as many tasks `ours` wins by it as `other`, and whether the interval lies above 2."""
    out = []
    for name, skill in counted.items():
        ratio = skill_win_ratio(ours, other, skill)
        won = [percent(navigation_rates({name: skill}, *e.runs)[name].success.value) for e in (ours, other)]
        both = f"{name}: {ours.method} wins {won[0]} of the tasks by using it, {other.method} {won[1]}"
        if not math.isfinite(ratio.value) or ratio.value == 0:
            out.append(f"{both}.")
            continue
        cell = ratio_cell(ratio)
        place = "above 2" if ratio.low >= 2 else "below 2" if ratio.high < 2 else "on both sides of 2"
        times = cell.text.removesuffix(" ×")
        out.append(f"{both}: {times} times as many; the 95 % interval, {cell.small[0]}, lies {place}.")
    return out


def budgets(result: ResultTable, methods: Sequence[Method]) -> Table:
    """Return EEF Figure 3 as a table: simulations per task and iteration, and the results."""
    by_name = {m.name: m for m in methods}
    setting: Columns = [
        (Column("line", words=True), lambda row: cells.words(budget_line(by_name[row.method]))),
        (Column("N", key="samples"), lambda row: cells.count(by_name[row.method].recipe.samples)),
        (Column("M"), lambda row: cells.count(by_name[row.method].recipe.M)),
        (
            Column("simulations a task"),
            lambda row: cells.count(by_name[row.method].simulations_per_task.value, digits=2),
        ),
    ]
    columns = [
        *comparison.method_columns(),
        *setting,
        *comparison.score_columns(),
        *comparison.cost_columns(),
    ]
    return replace(
        comparison.table("budget", result, columns),
        note=f"Card {result.card.key}. Simulations a task and iteration, as counted. Small print: 95 % intervals.",
    )


def budget_line(method: Method) -> str:
    """Return the name of the line of EEF Figure 3 that a method is a point of."""
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
    """Return the scores as [R, T], or all in one row where seeds tried different tasks."""
    panels = {tuple(t.task_id for t in seed) for seed in seeds}
    if len(panels) == 1:
        return np.array([[score(t) for t in seed] for seed in seeds])
    return np.array([[score(t) for seed in seeds for t in seed]])


def _seeds(n: int) -> tuple[str, ...]:
    return (f"× {n} seeds",) if n > 1 else ()
