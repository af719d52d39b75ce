"""Write the sections of a report: its headline, budgets, models and variants, and those that explain the rest.

The other sections have modules of their own: `tables`, `search`, `finders`, `analysis`. A section that compares runs takes
the runs of its section, methods over seeds by the stem of the params file; without runs it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from eefcore.evaluation import metrics
from eefcore.evaluation.formatting import interval, outcome, p_value, percent, signed
from eefcore.evaluation.stats import Estimate
from eefcore.figures import evaluation
from eefcore.figures.tree import TreeView
from eefcore.protocols import Skill
from eefcore.reports import comparison, search, tables
from eefcore.reports.comparison import Columns, MethodRow, ResultTable
from eefcore.reports.document import blocks
from eefcore.reports.document.blocks import Chapter, Facts, Figure, Prose, Section, chapter
from eefcore.reports.document.cells import SIGNIFICANCE, Cell, Column, Table, count, words
from eefcore.reports.evidence import Inference, Method, Recipe
from eefcore.search.tree import Tree
from eefcore.storage.stage_inputs import StageInputs
from eefcore.types import Card, StopReason, Value

NAVIGATION = (
    "Full bars: tasks won by a trajectory that uses the skill, with 95 % intervals. Outlines: tasks where it was "
    "used at all. Between them: tasks where it was used in vain."
)
CURVE = "Win rate on the dev set, by which the iteration was chosen; the tables are of the test set."
_OUTCOMES = ("win", "loss", *(stop.value for stop in StopReason if stop is not StopReason.DONE))

_WORLD = ("benchmark", "data", "sizes", "world_seed")
"""The parameters that say which tasks are played; all stages of a run share them."""

CASE_RULE = (
    "Found by rule, not by taste: the first task, by id, that satisfies the strongest rule any task satisfies. "
    "Thoughts are pale; where the two do something different, the step is tinted."
)
_CARD = (
    "What must be equal for two numbers to be compared: the catalogue, the goals and their prices, the interface, "
    "all simplifications. Two results may stand in one table only if their cards have the same key."
)
WORDS = Section(
    "words",
    "Words and statistics",
    (
        Facts(
            {
                "win rate": "Share of tasks with reward exactly 1. Interval: Wilson’s; with several seeds, at the "
                "effective sample size.",
                "reward": "Mean final reward, from 0 to 1. Interval: percentiles of a bootstrap over seeds and tasks.",
                "success, attempt": "Share of tasks won by a trajectory that uses the skill; share of tasks where it "
                "was used. Only actions count, not thoughts that speak of it.",
                "gap": "Difference on the same tasks. p: McNemar’s exact test for one seed’s wins, else a paired "
                "bootstrap over seeds and tasks.",
                "significant": "A difference in win rate, paired on the same tasks and seeds, whose Holm-corrected p is "
                f"below {SIGNIFICANCE}; the correction is for all comparisons of the same table. Every other difference is "
                "called not significant.",
                "simulations": "Episodes the policy played while the method was trained, and the environment’s "
                "answers in them.",
                "tokens": "Sampled by the policy; those it only read are each counted once an episode.",
                "trained on": "Tokens with a loss, times epochs.",
            }
        ),
    ),
)


def spoken_name(method: str) -> str:
    """Return the name of a method as a sentence has it: `expert: strong` as `the expert strong`."""
    return method.replace("expert: ", "the expert ", 1) if method.startswith("expert: ") else method


def headline(table: ResultTable, ours: str) -> str:
    """Return what the table says of `ours` in one sentence, which claims a difference only if it is significant."""
    rows = {r.method: r for r in table.rows}
    row = rows[ours]
    n = f"{row.win_rate.n:,} tasks" + (
        f" in each of {row.win_rate.seeds} seeds" if row.win_rate.seeds > 1 else ""
    )
    if not row.win_rate.n:
        return f"No episode of {ours} could be judged: the infrastructure failed in all of them."
    wins = f"{ours} wins {percent(row.win_rate.value)} of {n}"
    if row.against is None or not row.against.wins.n or table.baseline is None:
        return f"{wins} (95 % interval {interval(row.win_rate)})."
    gap, other = row.against.wins, rows[table.baseline]
    best = not any(r.win_rate.value > other.win_rate.value for r in table.rows if r.method != ours)
    name = spoken_name(other.method) + (", the best of the others" if best and len(rows) > 2 else "")
    p = f"Holm-corrected {p_value(row.holm)}" if len(rows) > 2 else p_value(gap.p)
    test = f"{p}, {'McNemar’s exact test' if gap.seeds == 1 else 'paired bootstrap over seeds and tasks'}"
    if row.significant:
        points = f"{100 * abs(gap.value):.1f} points {'more' if gap.value > 0 else 'fewer'} than {name}"
        return f"{wins}, {points} (95 % interval {signed(gap.low)} to {signed(gap.high)}; {test})."
    needed = row.needed_n
    in_one = " in one seed" if gap.seeds > 1 else ""
    more = f"; a gap of this size needs n ≥ {needed:,} to be significant{in_one}" if needed else ""
    return f"{wins} and {name} {percent(other.win_rate.value)}: the difference is not significant ({test}{more})."


# ------------------------------------------------------------------------------ comparisons of further runs


def budgets(runs: Mapping[str, Sequence[Method]], baseline: str) -> Chapter:
    """Return EEF Figure 3: win rate against the simulations of one iteration, as a figure and a table."""
    methods = [m for run in runs.values() for m in run]
    result = tables.compare_methods(methods, {}, baseline=baseline)
    lines: dict[str, dict[float, Estimate]] = {}
    for m, row in zip(methods, result.rows, strict=True):
        lines.setdefault(tables.budget_line(m), {})[round(m.simulations_per_task.value, 2)] = row.win_rate
    caption = "Win rate against the simulations of a task in one iteration: N of RFT × N, and 1 + M of each expert’s."
    figure = Figure("budget", caption, evaluation.budget(lines))
    return chapter("budget", "Simulation budget", figure, tables.budgets(result, methods))


def models(
    others: Mapping[str, Sequence[Method]],
    methods: Sequence[Method],
    skills: Mapping[str, Skill],
    ours: str,
    baseline: str,
) -> Chapter:
    """Return the results of other models than the first run's, beside those of its methods with the same names."""
    names = {m.name for run in others.values() for m in run}
    runs = {"": [m for m in methods if m.name in names], **others}
    rates: dict[str, dict[str, Estimate]] = {}
    results = []
    for stem, run in ((stem, run) for stem, run in runs.items() if run):
        model = run[0].recipe.base
        if stem:
            result = tables.compare_methods(run, skills, ours=ours, baseline=baseline)
            results.append(tables.results(result, run, name=f"models_{stem}", title=model, ours=ours))
        for m in run:
            of_method = rates.setdefault(m.name, {})
            label = f"{model} ({stem})" if model in of_method else model
            of_method[label] = metrics.win_rate(*m.evaluation.runs)
    caption = "The same methods from the same expert data, on several models."
    return chapter(
        "models", "Different models", Figure("models", caption, evaluation.models(rates)), *results
    )


def ablations(runs: Mapping[str, Sequence[Method]], skills: Mapping[str, Skill]) -> Chapter:
    """Return the comparison of the variants of each run with its first method."""
    parts: list[blocks.Block | Figure] = []
    for stem, methods in runs.items():
        first = methods[0].name
        result = tables.compare_methods(methods, skills, baseline=first)
        rates = evaluation.win_rates({r.method: r.win_rate for r in result.rows})
        parts += [
            comparison.table(
                f"ablation_{stem}",
                result,
                [
                    *comparison.method_columns("Variant"),
                    *comparison.score_columns(),
                    *comparison.gap_columns(result),
                    *comparison.skill_columns(result),
                    *tables.inference_columns({m.name: m.inference for m in methods}),
                    *comparison.cost_columns(),
                ],
                title=f"{stem}: against {first}",
                ours=first,
            ),
            Figure(
                f"ablation_{stem}", f"Win rate of variants, with 95 % intervals; {first} is the first.", rates
            ),
            *search.search_rounds_blocks(stem, methods),
        ]
    return chapter("ablation", "Variants", *parts)


def sweeps(runs: Mapping[str, Sequence[Method]]) -> Chapter:
    """Return the values of parameters that each run tries, compared on the dev set; the test set is not shown.

    Open in Agent Q: K, c_exp, α and θ. A value is to be chosen here, and only then measured on the test set.
    """
    parts: list[blocks.Block | Figure] = [Prose(_SWEEP)]
    for stem, methods in runs.items():
        rates = {m.name: metrics.win_rate(*m.dev.runs) for m in methods}
        caption = f"Dev set: win rate of each setting, with 95 % intervals; {methods[0].name} is the first."
        parts += [
            on_dev(f"sweep_{stem}", methods, columns=_swept(methods)),
            Figure(f"sweep_{stem}", caption, evaluation.win_rates(rates)),
            *search.search_rounds_blocks(stem, methods),
        ]
    return chapter("sweep", "Parameters, on the dev set", *parts, short="Parameters")


_SWEEP = (
    "Each setting differs from the first in one parameter. They are compared on the dev set alone, each with the model of "
    "its best iteration, which acts at once; what is chosen here has not been tried on the test set."
)


def on_dev(name: str, methods: Sequence[Method], *, columns: Columns = ()) -> Table:
    """Return the table of win rates on the dev set, of the iteration that was chosen there, against the first method."""
    result = comparison.compare_evaluations(
        [m.dev for m in methods],
        {},
        ours="",
        baseline=methods[0].name,
        costs={m.name: m.cost for m in methods},
    )
    every = [
        *comparison.method_columns(),
        *columns,
        *comparison.score_columns(),
        *comparison.gap_columns(result),
        *comparison.cost_columns(),
    ]
    table = comparison.table(name, result, every, title="On the dev set")
    chosen = "The best iteration of each method was chosen on these tasks, so that the rates are a little too high."
    return replace(table, note=f"{table.note} {chosen}")


def _swept(methods: Sequence[Method]) -> list[tuple[Column, Callable[[MethodRow], Cell]]]:
    """Return a column of each parameter in which the methods differ, by its stage of the first iteration that has it."""
    values = {m.name: m.parameters for m in methods}
    varied = {
        key: None
        for key in (key for of_method in values.values() for key in of_method)
        if len({repr(of_method.get(key)) for of_method in values.values()}) > 1
    }
    first: dict[tuple[str, str], str] = {}
    for key in varied:
        stage, _, name = key.partition(".")
        first.setdefault((StageInputs.kind(stage), name), key)
    return [
        (
            Column(name, "Parameters", key=f"{kind} {name}", words=True),
            lambda row, key=key: words(str(values[row.method].get(key, "–"))),
        )
        for (kind, name), key in first.items()
    ]


# ------------------------------------------------------------------------------ explanations of the rest


def training_row(method: str, spans: Sequence[blocks.Span]) -> list[Section]:
    """Return one training row to read, or nothing if there is none."""
    if not spans:
        return []
    loss, total = sum(s.tokens for s in spans if s.trained), sum(s.tokens for s in spans)
    caption = (
        f"One row of {method}’s last training set. Only the marked tokens carry the loss, {loss:,} of {total:,}; "
        "the rest is read."
    )
    return [Section("dialogue", "What was trained on", (blocks.Dialogue(caption, tuple(spans)),))]


def search_tree(tree: Tree | None) -> list[Section]:
    """Return a search tree to look at, or nothing if no method grew one."""
    if tree is None:
        return []
    caption = (
        "A tree that search grew. Nodes are pages, which show themselves where one points; an edge shows its action, how "
        "often it was tried, its mean return, and the critic’s estimate. The path that search would take is bold; +n are "
        "actions that were proposed and never tried. Green ended in a win, red in anything else."
    )
    view = TreeView(tree)
    return [Section("tree", "A search tree", (blocks.Drawing(caption, view.svg, view.text),))]


def outcomes(result: ResultTable, ours: str) -> Section:
    """Return the table of how episodes ended; only an expert that a budget stopped has a column for that."""
    stopped = any(row.outcomes[StopReason.BUDGET.value] for row in result.rows)
    shown = [o for o in _OUTCOMES if o != StopReason.BUDGET.value or stopped]
    table = comparison.table(
        "outcomes",
        result,
        [
            *comparison.method_columns(),
            *((Column(outcome(o), key=o), lambda row, o=o: _count(row.outcomes[o])) for o in shown),
        ],
        ours=ours,
    )
    note = (
        "Episodes, all seeds. Environment and model failures are in no rate and no mean, because no method is to blame for "
        "them; nor are tasks that a budget left out. A loss is an episode that the environment ended with a reward below 1; "
        "one cut short counts as lost."
    )
    return Section("outcomes", "How episodes ended", (replace(table, note=note),))


def _count(n: int) -> Cell:
    return count(n) if n else Cell("·", (), {"": 0})


def environment_cards(cards: Sequence[Card]) -> Section:
    """Return the environment cards that the numbers were measured under."""
    facts = (
        Facts({outcome(k): str(v) for k, v in sorted(card.facts.items())}, f"{card.name} · {card.key}")
        for card in {card.key: card for card in cards}.values()
    )
    return Section("card", "Environment card", (Prose(_CARD), *facts))


def method_lines(methods: Sequence[Method]) -> Facts:
    """Return what each method does in a line, as its stages recorded it, whatever its name says."""
    return Facts(
        {m.name: f"{_learned_by(m.recipe)}.{_acts(m.inference)}" for m in methods}, "What each method is"
    )


def settings(methods: Sequence[Method]) -> Facts:
    """Return what the results were made with: seeds, days, commits, and the parameters of the stages in a line for each kind."""
    records = [record for method in methods for record in method.records]
    days = [f"{record.finished:%Y-%m-%d}" for record in records]
    facts = {
        "seeds": ", ".join(map(str, sorted({seed for method in methods for seed in method.seeds}))),
        "computed": " to ".join(dict.fromkeys((min(days), max(days)))),
        "commit": ", ".join(sorted({record.commit for record in records} - {""})) or "not recorded",
    }
    named = (
        (full.partition(".")[2], value) for method in methods for full, value in method.parameters.items()
    )
    world = dict.fromkeys(f"{name} {value}" for name, value in named if name in _WORLD and value != "")
    facts["world"] = ", ".join(world)
    return Facts(facts | _stage_parameters(methods), "What they were made with")


def _stage_parameters(methods: Sequence[Method]) -> dict[str, str]:
    """Return the parameters of each kind of stage, those of its last iteration: what all methods share, then what each has of its own."""
    by_kind: dict[str, dict[str, dict[str, Value]]] = {}
    for method in methods:
        for full, value in method.parameters.items():
            stage, _, name = full.partition(".")
            if name not in (*_WORLD, "iteration") and value != "":
                by_kind.setdefault(StageInputs.kind(stage), {}).setdefault(method.name, {})[name] = value
    kinds = sorted(by_kind, key=lambda kind: kind == "test")  # what a method is evaluated by comes last
    return {kind: _shared_and_own(by_kind[kind]) for kind in kinds}


def _shared_and_own(of: Mapping[str, Mapping[str, Value]]) -> str:
    """Return parameters as text: those on which all methods agree, then those of each method by its name."""
    shared = dict(
        set.intersection(*({(k, repr(v)) for k, v in parameters.items()} for parameters in of.values()))
    )
    own = {
        method: ", ".join(f"{k} {v}" for k, v in parameters.items() if k not in shared)
        for method, parameters in of.items()
    }
    first = next(iter(of.values()))
    texts = [
        ", ".join(f"{k} {v}" for k, v in first.items() if k in shared),
        *(f"{method}: {text}" for method, text in own.items() if text),
    ]
    return "; ".join(filter(None, texts)) or "–"


def _learned_by(recipe: Recipe) -> str:
    lost = ", lost ones included" if recipe.iterations == 1 and recipe.negatives else ""
    clone = f"Clones demonstrations{f' of {recipe.experts}' if recipe.experts else ''}{lost}"
    if recipe.iterations == 1:
        return clone
    if recipe.K:
        explore = f"grows a tree of {recipe.samples} simulations for each task, {recipe.K} actions proposed at a page"
    else:
        explore = f"plays each task {_times(recipe.samples)}"
    if recipe.M:
        explore += f", and begins at up to {recipe.M} states inside a demonstration of {recipe.explored}"
    return f"{clone}; then, {_times(recipe.iterations - 1)}, {explore}, and learns from {recipe.learns}"


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _acts(inference: Inference) -> str:
    return f" On a test task it searches before it acts: {inference.how}." if inference.searches else ""


def skill_lines(skills: Mapping[str, Skill]) -> Facts:
    """Return what each navigation skill is in a line: the first of its docstring."""
    lines = {
        name: (skill.__doc__ or "").strip().partition("\n")[0].removeprefix(f"Find the skill {name}: ")
        for name, skill in skills.items()
    }
    return Facts(
        {name: line or "As the benchmark counts it" for name, line in lines.items()}, "What each skill is"
    )


def chosen_models(methods: Sequence[Method]) -> Facts:
    """Return where the model is that each method chose on the dev set, a folder for transformers or vLLM."""
    facts = {}
    for method in methods:
        seeds = [f"seed {seed}, " if len(method.seeds) > 1 else "" for seed in method.seeds]
        places = zip(seeds, method.chosen, strict=True)
        facts[method.name] = "; ".join(f"{seed}iteration {m.iteration}: {m.folder}" for seed, m in places)
    return Facts(facts, "Where the models are: the best on the dev set, below results/")


def reproduction(command: str, versions: Mapping[str, str]) -> Section:
    """Return the command that makes the results again, and the versions that they were made with."""
    return Section("again", "Make it again", (blocks.Listing(command), Facts(dict(versions))))
