"""What the searches that a suite's methods learnt from found: pass@k of each round, and how its critic did and learnt.

These searches play training tasks and see their reward. Rounds that several methods share are told once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eefcore.evaluation import stats
from eefcore.evaluation.formatting import percent, signed
from eefcore.evaluation.stats import Array, Estimate
from eefcore.figures import acting
from eefcore.reports import evidence
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Block
from eefcore.reports.document.cells import BLANK, Cell, Column, Table
from eefcore.reports.sections import Drawn
from eefcore.reports.suite.evidence import Method
from eefcore.storage import stages
from eefcore.types import Card, Trajectory


class Search(NamedTuple):
    """One round of tree search over its seeds: [R, T] to which simulation a task was first won, and what was logged."""

    first: Array  # 1 for the first simulation; infinite where none won
    most: int  # simulations that a task was given
    logged: list[Mapping[str, float]]  # of each seed, the keys of results/README.md


def blocks(stem: str, methods: Sequence[Method]) -> list[Block | Drawn]:
    """The rounds of search of `methods` as a figure and a table; nothing where none of them grows trees."""
    found = searches(methods)
    if not found:
        return []
    passes = {name: {k: within(s, k) for k in range(1, s.most + 1)} for name, s in found.items()}
    return [
        Drawn(f"solved_{stem}", _SOLVED, acting.solved(passes)),
        _table(f"solved_{stem}", found),
        *_critics(f"critics_{stem}", methods),
    ]


_SOLVED = (
    "Training tasks: the share solved within k simulations of a tree that saw the reward (pass@k), a line a round of "
    "search."
)


def searches(methods: Sequence[Method]) -> dict[str, Search]:
    """Each round of tree search of `methods`, by a name: `round 1`, and whose it is where several have rounds of their own."""
    rounds = _rounds([m for m in methods if m.recipe.K], "simulations")
    return {name: _read(method, folders) for name, (method, folders) in rounds.items()}


def within(search: Search, k: int) -> Estimate:
    """pass@k."""
    return stats.rate((search.first <= k).astype(float))


def _read(method: Method, folders: Sequence[Path]) -> Search:
    records = [stages.read_record(folder) for folder in folders]
    tasks = method.tasks()
    firsts = [_firsts(folder, of, method.card) for folder, of in zip(folders, tasks, strict=True)]
    alike = all(set(of) == set(tasks[0]) for of in tasks)
    first = (
        [[seed[task] for task in tasks[0]] for seed in firsts]
        if alike
        else [[n for s in firsts for n in s.values()]]
    )
    most = max(int(record.params["simulations"]) for record in records)
    return Search(np.array(first), most, [record.metrics for record in records])


def _firsts(folder: Path, tasks: Sequence[str], card: Card) -> dict[str, float]:
    """Of each task the number of the simulation that first won it."""
    played: dict[str, list[bool]] = {task: [] for task in tasks}
    for t in stages.read_records(folder / "simulations.jsonl", Trajectory, card=card).list:
        played[t.task_id].append(t.win)
    return {task: won.index(True) + 1.0 if any(won) else np.inf for task, won in played.items()}


def _table(name: str, found: Mapping[str, Search]) -> Table:
    columns = (
        Column("Search", key="search", words=True),
        Column("simulations a task"),
        Column("first wins", key="pass@1"),
        Column("one of them wins", key="pass@k"),
        Column("rank correlation of Q̂ and Q̃", key="agreement"),
        Column("proposals merged", key="merged"),
        Column("critic unparseable", key="unparseable"),
    )
    rows = tuple(
        (
            cells.words(label, cells.panel(within(s, 1))),
            cells.count(s.most),
            cells.share(within(s, 1)),
            cells.share(within(s, s.most)),
            _logged(s.logged, "search/agreement"),
            _logged(s.logged, "search/merged", percent),
            _logged(s.logged, "search/unparseable", percent),
        )
        for label, s in found.items()
    )
    note = (
        "Of training tasks, by trees that saw the reward. Rank correlation: Spearman’s, over actions with siblings that were "
        "tried twice or more. Small print: 95 % intervals over seeds and tasks, of the last three over seeds."
    )
    return Table(name, columns, rows, title="The searches that were learnt from", note=note)


def _correlation(value: float) -> str:
    return signed(value, 1, 2)


def _critics(name: str, methods: Sequence[Method]) -> list[Table]:
    """What each critic learnt from a round of search; no table where none did."""
    rounds = _rounds(methods, "critic")
    if not rounds:
        return []
    told = {label: [stages.read_record(f).metrics for f in folders] for label, (_, folders) in rounds.items()}
    pairs = (
        ("agreement", "rank correlation of Q̂ and Q̃"),
        ("named", "best action named"),
        ("judged", "endings judged"),
    )
    columns = [Column("Critic after", key="search", words=True)]
    columns += [
        Column(w, group, key) for k, group in pairs for w, key in (("before", f"{k}_before"), ("after", k))
    ]
    rows = tuple(
        (
            cells.words(label),
            *(_logged(logged, f"tune/{c.csv}") for c in columns[1:3]),
            *(_logged(logged, f"tune/{c.csv}", percent) for c in columns[3:]),
        )
        for label, logged in told.items()
    )
    note = "Of trees whose tasks were held out, before and after the critic was tuned. Small print: 95 % intervals over seeds."
    return [Table(name, tuple(columns), rows, title="Critics that learnt from search", note=note)]


def _rounds(methods: Sequence[Method], stage: str) -> dict[str, tuple[Method, tuple[Path, ...]]]:
    """The stages `<stage>1`, `<stage>2`, … of all seeds, by the name of their round; what methods share, once."""
    found: dict[tuple[Method, int], tuple[Path, ...]] = {}
    known: set[Path] = set()
    for m in sorted(methods, key=lambda m: -m.recipe.iterations):  # who has most rounds gives them their name
        for i in evidence.numbered(m.stages[0], m.name, stage):
            folders = tuple(run[f"{m.name}/{stage}{i}"] for run in m.stages)
            if not known.intersection(folders):
                found[m, i] = folders
            known.update(folders)
    several = len({m for m, _ in found}) > 1
    return {f"{m.name}, round {i}" if several else f"round {i}": (m, of) for (m, i), of in found.items()}


def _logged(
    seeds: Sequence[Mapping[str, float]], key: str, write: Callable[[float], str] = _correlation
) -> Cell:
    """What the stages logged: its mean over seeds, and between which two it is in 95 of 100 sets of seeds; of one, none."""
    values = [of.get(key) for of in seeds]
    found = stats.mean(np.array([[np.nan if v is None else float(v)] for v in values]))
    if math.isnan(found.value):
        return BLANK
    small = (f"{write(found.low)} to {write(found.high)}",) if len(seeds) > 1 else ()
    return Cell(
        write(found.value),
        small,
        {"": found.value, "low": found.low, "high": found.high, "seeds": len(seeds)},
    )
