"""Report the results of search: while methods learn (`search_rounds_blocks`: pass@k, the critic) and at test time.

At test time `search_gaps` is win rate over simulations before each action (Agent Q §7), `unions` methods of both papers from
the same data, and `upper_bounds` searches that saw the reward, in tables of their own (DESIGN 4.5). These three take the
runs of a section, methods over seeds by the stem of the params file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.formatting import percent, signed
from eefcore.evaluation.stats import Array, Estimate
from eefcore.figures import evaluation
from eefcore.figures import search as figures
from eefcore.reports import comparison, tables
from eefcore.reports.comparison import Columns, MethodRow, ResultTable
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Block, Chapter, Figure, Points, Prose, chapter
from eefcore.reports.document.cells import BLANK, Cell, Column, Table
from eefcore.reports.evidence import Method
from eefcore.search.ceiling import Ceiling, ceiling_rate
from eefcore.storage import stages
from eefcore.storage.records import read_records
from eefcore.types import Card, Trajectory

# ------------------------------------------------------------------------------ rounds of search to learn from


class SearchRound(NamedTuple):
    """One round of tree search over its seeds."""

    first: Array  # [R, T] the number of the simulation that first won a task, from 1; infinite where none won
    most: int  # simulations of a task
    logged: list[dict[str, Any]]  # of each seed the logged metrics, by the keys of results/README.md


def search_rounds_blocks(stem: str, methods: Sequence[Method]) -> list[Block | Figure]:
    """Return the rounds of search of `methods` as a figure and tables; nothing if none of them grows trees."""
    found = search_rounds(methods)
    if not found:
        return []
    rates = {name: {k: pass_at(r, k) for k in range(1, r.most + 1)} for name, r in found.items()}
    return [
        Figure(f"solved_{stem}", _SOLVED, figures.pass_at_k(rates)),
        _rounds_table(f"solved_{stem}", found),
        *_critics(f"critics_{stem}", methods),
    ]


_SOLVED = (
    "Training tasks: the share solved within k simulations of a tree that saw the reward (pass@k), a line a round of "
    "search."
)


def search_rounds(methods: Sequence[Method]) -> dict[str, SearchRound]:
    """Return each round of tree search of `methods` by a name such as `round 1`, with the method if several have rounds."""
    rounds = _rounds([m for m in methods if m.recipe.K], "simulations")
    return {name: _read_round(method, folders) for name, (method, folders) in rounds.items()}


def pass_at(found: SearchRound, k: int) -> Estimate:
    """Return pass@k, the share of tasks that one of the first k simulations won."""
    return stats.rate((found.first <= k).astype(float))


def _read_round(method: Method, folders: Sequence[Path]) -> SearchRound:
    records = [stages.read_record(folder) for folder in folders]
    tasks = method.tasks()
    firsts = [_first_wins(folder, of, method.card) for folder, of in zip(folders, tasks, strict=True)]
    if all(set(of) == set(tasks[0]) for of in tasks):
        first = [[seed[task] for task in tasks[0]] for seed in firsts]
    else:
        first = [[n for seed in firsts for n in seed.values()]]
    most = max(int(record.params["simulations"]) for record in records)
    return SearchRound(np.array(first), most, [dict(record.metrics) for record in records])


def _first_wins(folder: Path, tasks: Sequence[str], card: Card) -> dict[str, float]:
    """Return for each task the number of the simulation that first won it."""
    wins: dict[str, list[bool]] = {task: [] for task in tasks}
    for t in read_records(folder / "simulations.jsonl", Trajectory, card=card).list:
        wins[t.task_id].append(t.win)
    return {task: won.index(True) + 1.0 if any(won) else np.inf for task, won in wins.items()}


def _rounds_table(name: str, found: Mapping[str, SearchRound]) -> Table:
    columns: cells.Columns[tuple[str, SearchRound]] = [
        (
            Column("Search", key="search", words=True),
            lambda f: cells.words(f[0], cells.panel_size(pass_at(f[1], 1))),
        ),
        (Column("simulations a task"), lambda f: cells.count(f[1].most)),
        (Column("first wins", key="pass@1"), lambda f: cells.share(pass_at(f[1], 1))),
        (Column("one of them wins", key="pass@k"), lambda f: cells.share(pass_at(f[1], f[1].most))),
        (
            Column("rank correlation of Q̂ and Q̃", key="agreement"),
            lambda f: _logged(f[1].logged, "search/agreement"),
        ),
        (Column("proposals merged", key="merged"), lambda f: _logged(f[1].logged, "search/merged", percent)),
        (
            Column("critic unparseable", key="unparseable"),
            lambda f: _logged(f[1].logged, "search/unparseable", percent),
        ),
    ]
    note = (
        "Of training tasks, by trees that saw the reward. Rank correlation: Spearman’s, over actions with siblings that were "
        "tried twice or more. Small print: 95 % intervals over seeds and tasks, of the last three over seeds."
    )
    title = "The searches that methods learned from"
    return cells.make_table(name, columns, found.items(), title=title, note=note)


def _critics(name: str, methods: Sequence[Method]) -> list[Table]:
    """Return a table of how much each critic improved in a round of search; no table if no critic was tuned."""
    rounds = _rounds(methods, "critic")
    if not rounds:
        return []
    logged = {
        label: [dict(stages.read_record(f).metrics) for f in folders]
        for label, (_, folders) in rounds.items()
    }
    measures: list[tuple[str, str, Callable[[float], str]]] = [
        ("agreement", "rank correlation of Q̂ and Q̃", _correlation),
        ("named", "best action named", percent),
        ("judged", "endings judged", percent),
    ]
    columns: list[tuple[Column, Callable[[str], Cell]]] = [
        (Column("Critic after", key="search", words=True), cells.words)
    ]
    columns += [
        (Column(time, group, key), lambda label, k=f"tune/{key}", w=write: _logged(logged[label], k, w))
        for measure, group, write in measures
        for time, key in (("before", f"{measure}_before"), ("after", measure))
    ]
    note = "Of trees whose tasks were held out, before and after the critic was tuned. Small print: 95 % intervals over seeds."
    return [cells.make_table(name, columns, logged, title="Critics that learned from search", note=note)]


def _rounds(methods: Sequence[Method], stage: str) -> dict[str, tuple[Method, tuple[Path, ...]]]:
    """Return the stages `<stage>1`, `<stage>2`, … of all seeds by the name of their round; shared rounds once."""
    found: dict[tuple[Method, int], tuple[Path, ...]] = {}
    known: set[Path] = set()
    for m in sorted(methods, key=lambda m: -m.recipe.iterations):  # the method with most rounds names them
        for i in m.numbered(stage):
            folders = tuple(run.by_iteration(stage)[i] for run in m.stages)
            if not known.intersection(folders):
                found[m, i] = folders
            known.update(folders)
    several = len({m for m, _ in found}) > 1
    return {f"{m.name}, round {i}" if several else f"round {i}": (m, of) for (m, i), of in found.items()}


def _correlation(value: float) -> str:
    return signed(value, 1, 2)


def _logged(
    seeds: Sequence[Mapping[str, Any]], key: str, write: Callable[[float], str] = _correlation
) -> Cell:
    """Return the mean over seeds of a logged metric, with its 95 % interval over seeds; a single seed has no interval."""
    values = [of.get(key) for of in seeds]
    found = stats.mean(np.array([[np.nan if v is None else float(v)] for v in values]))
    if math.isnan(found.value):
        return BLANK
    several = len(seeds) > 1
    return Cell(
        write(found.value),
        (f"{write(found.low)} to {write(found.high)}",) if several else (),
        {"": found.value, "low": found.low, "high": found.high, "seeds": len(seeds)},
    )


# ------------------------------------------------------------------------------ with and without search


def search_gaps(runs: Mapping[str, Sequence[Method]], kinds: Mapping[str, str]) -> Chapter:
    """Return the comparison of acting at once with searching, over budgets and rounds of training."""
    blocks: list[Block | Figure] = []
    for stem, methods in runs.items():
        models = _by_model(methods)
        lines = {name: line for name, of in models.items() if len(line := _line(of)) > 1}
        rows = _rows_against_acting(models)
        sentences = _gap_sentences(models, rows)
        blocks += [
            *([Figure(f"gap_{stem}", _GAP, figures.win_rate_by_simulations(lines))] if lines else []),
            _gap_table(f"gap_{stem}", models, rows),
            *([Points(tuple(sentences))] if sentences else []),
            *ceiling_tables(f"ceiling_{stem}", methods, kinds),
            *search_rounds_blocks(stem, methods),
        ]
    return chapter("gap", "Acting at once and searching", *blocks, short="Gap")


_GAP = (
    "Test set: win rate over the simulations before each action, by a search that knows the critic’s opinion alone; "
    "at 0 the agent acts at once. A line a model."
)

Models = dict[str, list[Method]]
"""Methods by the model that acts; the one that acts at once comes first."""


def _by_model(methods: Sequence[Method]) -> Models:
    """Group methods that share their last model in any seed, and so differ only in how they act.

    A method that acts as another of its model does, with another critic for example, has a group of its own.
    """
    groups: list[list[Method]] = []
    for m in methods:
        for group in groups:
            if group[0].models & m.models and m.inference.how not in {o.inference.how for o in group}:
                group.append(m)
                break
        else:
            groups.append([m])
    for group in groups:
        group.sort(key=lambda m: (m.inference.searches, m.inference.simulations_per_action))
    return {group[0].name: group for group in groups}


def _line(methods: Sequence[Method]) -> dict[int, Estimate]:
    """Return win rate by simulations before each action, of the methods that act at once or grow trees."""
    return {
        m.inference.simulations_per_action: metrics.win_rate(*m.evaluation.runs)
        for m in methods
        if m.inference.simulations_per_action or not m.inference.searches
    }


def _rows_against_acting(models: Models) -> dict[str, MethodRow]:
    """Compare each method with its model acting at once, p corrected for all of these comparisons."""
    rows = []
    for methods in models.values():
        first, *_ = methods
        found = tables.compare_methods(methods, {}, baseline=first.name).rows
        rows += [r._replace(against=None) if first.inference.searches else r for r in found]
    corrected = stats.holm([math.nan if r.against is None else r.against.wins.p for r in rows])
    return {r.method: r._replace(holm=p) for r, p in zip(rows, corrected, strict=True)}


def _gap_table(name: str, models: Models, rows: Mapping[str, MethodRow]) -> Table:
    methods = [m for of in models.values() for m in of]
    model = {m.name: name for name, of in models.items() for m in of}
    result = ResultTable(methods[0].evaluation.card, tuple(rows[m.name] for m in methods), "acting at once")
    columns: Columns = [
        *comparison.method_columns(),
        (Column("model of", key="model", words=True), lambda r: cells.words(model[r.method])),
        *comparison.score_columns(),
        *comparison.gap_columns(result),
        *tables.inference_columns({m.name: m.inference for m in methods}),
    ]
    table = comparison.table(name, result, columns, title="Each model, at once and with search")
    return replace(table, note=f"{table.note} {tables.INFERENCE_NOTE}")


def _gap_sentences(models: Models, rows: Mapping[str, MethodRow]) -> list[str]:
    """Say for each model what the most simulations before each action add to its win rate."""
    out = []
    for name, methods in models.items():
        most = max(methods, key=lambda m: m.inference.simulations_per_action)
        row, n = rows[most.name], most.inference.simulations_per_action
        if n and row.against is not None and row.against.wins.n:
            gap = row.against.wins
            verdict = "significant" if row.significant else "not significant"
            out.append(
                f"{name}: {n} simulations before each action add {signed(gap.value)} points, {verdict} "
                f"({comparison.gap_test(gap, row.holm)})."
            )
    return out


# ------------------------------------------------------------------------------ ceilings


def ceiling_tables(name: str, methods: Sequence[Method], kinds: Mapping[str, str]) -> list[Table]:
    """Return the table of the share of test tasks that any rehearsed episode won, whole and by kind; none without a ceiling.

    It has no column of what methods won, because the reward judged these episodes (DESIGN 4.5), and its costs are its own.
    """
    found = {m.name: m.ceilings for m in methods if m.ceilings}
    if not found:
        return []
    card = next(m for m in methods if m.ceilings).ceiling_card
    sizes = Counter(kinds.get(c.task_id) for c in next(iter(found.values()))[0])
    columns: list[tuple[Column, Callable[[str], Cell]]] = [
        (Column("Search", key="method", words=True), lambda m: cells.method(m, ceiling_rate(*found[m]))),
        (Column("solvable"), lambda m: cells.share(ceiling_rate(*found[m]))),
    ]
    columns += [
        (
            Column(f"{kind} (n = {n:,})", "Kind of task", f"solvable {kind}"),
            lambda m, kind=kind: cells.share(ceiling_rate(*_of_kind(found[m], kinds, kind))),
        )
        for kind, n in sorted((kind, n) for kind, n in sizes.items() if kind is not None)
    ]
    columns += [
        (
            Column("rehearsed", "An episode", "rehearsed"),
            lambda m: cells.count(_mean(c.rehearsed for run in found[m] for c in run), digits=1),
        ),
        (
            Column("steps to judge them", "An episode", "judging steps"),
            lambda m: cells.count(_mean(c.env_steps for run in found[m] for c in run), digits=1),
        ),
    ]
    title = "The ceiling: test tasks that any rehearsed episode solves"
    return [cells.make_table(name, columns, found, title=title, note=f"Card {card.key}. {_CEILING}")]


_CEILING = (
    "Solvable: the share of test tasks that the episode or any one rehearsed for it won, which a perfect judge would win with "
    "the same proposals. The reward judged them when the search had acted, and the search never learned it; so these numbers "
    "are compared with no win rate, and the steps are in no other cost. Small print: 95 % intervals."
)


def _of_kind(runs: Sequence[Sequence[Ceiling]], kinds: Mapping[str, str], kind: str) -> list[list[Ceiling]]:
    return [[c for c in run if kinds.get(c.task_id) == kind] for run in runs]


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([*values]))


# ------------------------------------------------------------------------------ both papers, and upper bounds


def unions(runs: Mapping[str, Sequence[Method]]) -> Chapter:
    """Return methods from the same data at one budget, every two of them compared."""
    blocks: list[Block | Figure] = []
    for stem, methods in runs.items():
        result = tables.compare_methods(methods, {}, baseline=methods[0].name)
        rates = evaluation.win_rates({r.method: r.win_rate for r in result.rows})
        pairs = comparison.pairs([m.evaluation for m in methods])
        recipes = tables.recipes(methods)
        blocks += [
            tables.results(result, methods, name=f"union_{stem}"),
            Figure(f"union_{stem}", "Win rate with 95 % intervals.", rates),
            comparison.link_table(pairs, f"pairs_{stem}", "Every two of them"),
            replace(recipes, name=f"recipes_{stem}", title="What each uses"),
            *search_rounds_blocks(stem, methods),
        ]
    return chapter("union", "Expert failures and search", *blocks, short="Union")


def upper_bounds(runs: Mapping[str, Sequence[Method]], kinds: Mapping[str, str]) -> Chapter:
    """Return the methods whose search at test time saw the reward, one table a run, each compared with its first."""
    blocks: list[Block | Figure] = [Prose(_UPPER_BOUND)]
    for stem, methods in runs.items():
        result = tables.compare_methods(methods, {}, baseline=methods[0].name)
        rates = {r.method: r.win_rate for r in result.rows}
        blocks += [
            tables.results(result, methods, name=f"oracle_{stem}"),
            tables.win_rate_figure(rates, {m.name: m.inference for m in methods}, name=f"oracle_{stem}"),
            *ceiling_tables(f"oracle_ceiling_{stem}", methods, kinds),
        ]
    return chapter("oracle", "Upper bound", *blocks)


_UPPER_BOUND = (
    "These searches saw the reward of what they rehearsed, as no agent can that acts for good. They bound what search at "
    "test time can bring, are under an environment card of their own, and are compared with no number of another table."
)
