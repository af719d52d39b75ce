"""Build the tables of a report: EEF Tables 1 to 4, and Figure 3 as a table, each from methods over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from msgspec.structs import replace

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.formatting import percent
from eefcore.evaluation.navigation import navigation_rates, skill_win_ratio
from eefcore.evaluation.panel import Evaluation
from eefcore.evaluation.stats import Array, Estimate
from eefcore.experts.collect import expert_cost
from eefcore.figures import evaluation, search
from eefcore.protocols import Skill
from eefcore.reports import comparison
from eefcore.reports.comparison import Columns, MethodRow, ResultTable, compare_evaluations
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Figure
from eefcore.reports.document.cells import BLANK, Cell, Column, Table
from eefcore.reports.evidence import Inference, Method, expert_demonstrations
from eefcore.storage.cost import Cost, mean_cost
from eefcore.types import Trajectory


def data(methods: Sequence[Method]) -> Table:
    """Return EEF Table 1: how many trajectories each expert demonstrated a seed, how many won, how long they are, what one costs."""
    columns: cells.Columns[tuple[str, list[list[Trajectory]]]] = [
        (Column("Expert", key="expert", words=True), lambda e: cells.words(e[0])),
        (Column("trajectories"), lambda e: cells.count(sum(map(len, e[1])) / len(e[1]), *_seeds(len(e[1])))),
        (
            Column("positive"),
            lambda e: cells.count(sum(t.win for seed in e[1] for t in seed) / len(e[1])),
        ),
        (Column("win rate"), lambda e: cells.share(stats.rate(_values(e[1], lambda t: float(t.win))))),
        (Column("reward"), lambda e: cells.score(stats.mean(_values(e[1], lambda t: t.reward)), 3)),
        (Column("mean length"), lambda e: cells.score(stats.mean(_values(e[1], lambda t: float(len(t)))))),
        (
            Column("$ per trajectory"),
            lambda e: cells.count(float(np.mean(_values(e[1], lambda t: t.money))), digits=3),
        ),
    ]
    demonstrated = expert_demonstrations(methods)
    if any(t.tokens_read for seeds in demonstrated.values() for seed in seeds for t in seed):
        columns += [
            (
                Column(f"tokens {name} per trajectory"),
                lambda e, field=f"tokens_{name}": cells.count(
                    float(np.mean(_values(e[1], lambda t: float(getattr(t, field)))))
                ),
            )
            for name in ("read", "written")
        ]
    return cells.make_table(
        "data",
        columns,
        demonstrated.items(),
        title="What the experts demonstrated (EEF Table 1)",
        note="Of the training tasks, per seed. Small print: 95 % intervals over seeds and tasks.",
    )


def unexplored(methods: Sequence[Method]) -> list[Table]:
    """Return the table of the demonstrations that nothing is explored from, and why; nothing if all are."""
    rows = {tuple(row.values()): row for method in methods for row in method.unexplored()}
    if not rows:
        return []
    columns: cells.Columns[dict[str, str]] = [
        (Column(name, words=True), partial(_word_of, name))
        for name in ("task", "source", "outcome", "use", "why not explored")
    ]
    shown = [*rows.values()][:MOST_UNEXPLORED]
    note = f"{len(shown)} of {len(rows)}, of the first seed; tables/refused.csv of the expert stage has each trajectory."
    return [
        cells.make_table(
            "refused", columns, shown, title="Demonstrations that nothing is explored from", note=note
        )
    ]


def _word_of(name: str, row: dict[str, str]) -> Cell:
    return cells.words(row[name])


MOST_UNEXPLORED = 100
"""Rows of `unexplored`; a file from elsewhere may hold thousands."""


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
    return cells.make_table(
        "recipes",
        columns,
        methods,
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
        costs={m.name: m.cost for m in methods} | _panel_costs(experts),
    )


def _panel_costs(experts: Sequence[Evaluation]) -> dict[str, Cost]:
    """Return what the test episodes of experts that are language models cost, mean over seeds."""
    costs = {e.method: mean_cost([expert_cost(run) for run in e.runs]) for e in experts}
    return {name: cost for name, cost in costs.items() if cost.tokens_read or cost.tokens_written}


EXPERT_COST_NOTE = (
    "The cost of an expert that is a language model is that of its test episodes, as its endpoint bills them."
)


def results(
    result: ResultTable, methods: Sequence[Method], *, name: str = "methods", title: str = "", ours: str = ""
) -> Table:
    """Return EEF Table 3: win rate and reward, the gap to the baseline, the signals that the search used, and the cost."""
    signals = {m.name: m.recipe.signals for m in methods}
    acts = inference_columns({m.name: m.inference for m in methods})

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
    costed = any(row.cost for row in result.rows if row.method not in signals)
    notes = [table.note, *([INFERENCE_NOTE] if acts else []), *([EXPERT_COST_NOTE] if costed else [])]
    return replace(table, note=" ".join(notes))


def inference_columns(inferences: Mapping[str, Inference]) -> Columns:
    """Return the columns of how each method acts and what an episode costs; none where all methods act at once."""
    if not any(i.searches for i in inferences.values()):
        return []

    columns: list[tuple[Column, Callable[[Inference], Cell]]] = [
        (_at_test_time("acts", "acts", words=True), lambda i: cells.words(i.how)),
        (_at_test_time("its search knew", "search knew", words=True), lambda i: cells.words(_KNEW[i.signal])),
        (_at_test_time("simulations", "episode simulations"), lambda i: cells.count(i.simulations, digits=1)),
        (
            _at_test_time("tokens", "episode tokens"),
            lambda i: cells.amount(i.tokens_written, read=(i.tokens_read, "read")),
        ),
        (_at_test_time("seconds", "episode seconds"), lambda i: cells.count(i.seconds, digits=2)),
    ]
    return [
        (
            heading,
            lambda row, cell=cell: cell(inferences[row.method]) if row.method in inferences else BLANK,
        )
        for heading, cell in columns
    ]


def _at_test_time(name: str, key: str, *, words: bool = False) -> Column:
    return Column(name, "An episode at test time", key, words)


def win_rate_figure(
    rates: Mapping[str, Estimate], inferences: Mapping[str, Inference], *, name: str = "win_rates"
) -> Figure:
    """Draw win rates as bars beside what an episode costs; as points where all methods act at once."""
    if not any(i.searches for i in inferences.values()):
        return Figure(name, "Win rate with 95 % intervals.", evaluation.win_rates(rates))
    signals = sorted({_KNEW[i.signal] for i in inferences.values() if i.signal})
    knew = " and ".join(signals) or "nothing of its ending"
    caption = (
        "Win rate with 95 % intervals, and what an episode at test time costs (Agent Q Figure 1). Hatched: searches before "
        f"it acts, knowing {knew}. Simulations are those beside the episode itself."
    )
    costs = {
        m: {
            "simulations\nan episode": i.simulations,
            "tokens written\nan episode": i.tokens_written,
            "seconds\nan episode": i.seconds,
        }
        for m, i in inferences.items()
    }
    searches = {m: i.searches for m, i in inferences.items()}
    return Figure(name, caption, search.win_rates_and_costs(rates, costs, searches))


INFERENCE_NOTE = (
    "MCTS × n: n simulations before each action. Best of n: n rehearsed episodes, of which the best is played. An episode "
    "at test time: simulations beside the episode itself, and tokens of policy and critic. Seconds are the time of the "
    "stage divided by its episodes, many of which are played at once, on a machine that may have had other work."
)
_KNEW = {"": "–", "critic": "the critic’s opinion", "reward": "the reward"}


def skills(result: ResultTable, evaluations: Sequence[Evaluation], counted: Mapping[str, Skill]) -> Table:
    """Return EEF Table 4: success and attempt of each skill, and the ratio of each success to that of the baseline."""
    by_name = {e.method: e for e in evaluations}
    reference = by_name.get(result.baseline or "")

    def ratio(row: MethodRow, skill: Skill) -> Cell:
        if reference is None or row.method == reference.method:
            return BLANK
        return ratio_cell(skill_win_ratio(by_name[row.method], reference, skill))

    group = f"Success, times that of {result.baseline}"
    columns = [*comparison.method_columns(), *comparison.skill_columns(result)]
    if reference:
        columns += [
            (Column(name, group, f"{name} ratio"), lambda row, skill=skill: ratio(row, skill))
            for name, skill in counted.items()
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
    return Cell(f"{ratio.value:.1f} ×", (f"{low} – {high}",), cells.numbers(ratio))


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
