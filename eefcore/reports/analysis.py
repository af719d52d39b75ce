"""Explain why one method is better than another, over seeds: which tasks it came to solve, how, and what it was trained on.

    analysis_chapter         the section of a report, with difficulty beside it
    read_training_data       what a method of one seed read and was trained on
    training_set_shares      expert actions and mistakes as shares of what was trained (EEF §1)
    first_successes          in which iteration a task was first solved, from s_0 or from how many actions of which expert
    credits                  the methods that solved a task first; None for tasks that none ever solved

Experts mark their mistakes; the marks are read only here, after everything was decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eefcore.evaluation import stats
from eefcore.evaluation.panel import Evaluation
from eefcore.evaluation.stats import Array, Estimate
from eefcore.experts.registry import Measure
from eefcore.figures import evaluation
from eefcore.reports.difficulty import difficulty_blocks
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Chapter, Figure, Prose, chapter
from eefcore.reports.document.cells import Cell, Column, Table
from eefcore.reports.evidence import Method
from eefcore.selection.algorithm import Repository, TrainingSet, count_selection, solution
from eefcore.storage.records import read_records
from eefcore.storage.stage_inputs import StageInputs
from eefcore.types import Card, Example, State, Trajectory

DEMONSTRATED = "demonstrated"  # the origin of a success that an expert acted to its end
ALONE = "s_0"  # the origin of a success without any expert action


class TrainingData(NamedTuple):
    """What one method of one seed read and was trained on, in the order of Algorithm 1."""

    experts: list[Trajectory]  # D_e
    simulations: list[list[Trajectory]]  # D_1, D_2, …
    examples: list[list[Example]]  # what the model of each iteration was trained on


class TrainingSetShares(NamedTuple):
    """The training set of one iteration of a method, mean over seeds; shares are of its trained actions.

    A training set is known whole: its interval is over other seeds only, and with one seed it is a point.
    """

    method: str
    iteration: int  # 1 is behaviour cloning
    actions: Estimate  # trained actions
    expert: Estimate  # share of an expert's actions
    mistakes: Estimate  # share of an expert's mistakes
    lost: Estimate  # share of actions in trajectories that were not won


class FirstSuccess(NamedTuple):
    """The first success on a task; of several in one iteration the one that the paper would train on."""

    iteration: int  # i of the D_i that holds it; 0 is D_e
    origin: (
        str  # DEMONSTRATED, ALONE, or the expert whose actions are its head; strong+weak where both acted so
    )
    n_expert: int  # expert actions at its head
    length: int  # |τ|


class Credit(NamedTuple):
    """The methods that solved a task in the earliest iteration, and how."""

    iteration: int
    firsts: dict[str, FirstSuccess]


def read_training_data(run: StageInputs[Path], card: Card) -> TrainingData:
    """Read what a method of one seed read and was trained on.

    Raises:
        CardMismatch: a stage was made in another environment.
    """
    return TrainingData(
        read_records(run["experts"] / "experts.jsonl", Trajectory, card=card).list,
        [
            read_records(folder / "simulations.jsonl", Trajectory, card=card).list
            for folder in run.by_iteration("simulations").values()
        ],
        [
            read_records(folder / "examples.jsonl", Example, card=card).list
            for folder in run.by_iteration("select").values()
        ],
    )


def training_set_shares(method: str, seeds: Sequence[TrainingData]) -> list[TrainingSetShares]:
    """Return the shares of what each iteration of a method was trained on, over its seeds."""
    return [
        TrainingSetShares(
            method, i, *(stats.mean(np.array([[v] for v in values])) for values in zip(*shares, strict=True))
        )
        for i, sets in enumerate(zip(*(seed.examples for seed in seeds), strict=True), 1)
        for shares in [[_shares(examples) for examples in sets]]
    ]


def first_successes(tasks: Iterable[str], data: TrainingData) -> dict[str, FirstSuccess | None]:
    """Return how each task was first solved, in D_e, D_1, D_2, … whichever comes first; None if it never was.

    Of the successes of one iteration it is the choice of `solution`: the one with the fewest expert actions.
    """
    repositories = [Repository(d) for d in (data.experts, *data.simulations)]
    return {
        task: next(
            (
                FirstSuccess(i, _origin(t, data.experts), t.n_expert, len(t))
                for i, repository in enumerate(repositories)
                if (t := solution(State(task), repository)) is not None
            ),
            None,
        )
        for task in tasks
    }


def credits(firsts: Mapping[str, Mapping[str, FirstSuccess | None]]) -> dict[str, Credit | None]:
    """Return for each task all methods that solved it in the earliest iteration; None for tasks that none ever solved.

    Args:
        firsts: `first_successes` by method, or by method and seed in words, all over the same tasks.
    """
    out: dict[str, Credit | None] = {}
    for task in next(iter(firsts.values()), {}):
        solved = {name: first for name, by_task in firsts.items() if (first := by_task[task]) is not None}
        if not solved:
            out[task] = None
            continue
        earliest = min(first.iteration for first in solved.values())
        out[task] = Credit(
            earliest, {name: first for name, first in solved.items() if first.iteration == earliest}
        )
    return out


def _shares(examples: Sequence[Example]) -> tuple[float, float, float, float]:
    """Return the number of trained actions, and the shares that are an expert's, its mistakes, and in lost trajectories."""
    found = count_selection(TrainingSet(list(examples), []), Repository(), [])
    lost = sum(len(e.trained_indices) for e in examples if not e.trajectory.win)
    n = found.trained_actions or 1
    return found.trained_actions, found.expert_actions / n, found.mistakes, lost / n


def _origin(success: Trajectory, experts: Iterable[Trajectory]) -> str:
    """Return whose actions are at the head of a success."""
    if not success.n_expert:
        return ALONE
    if success.n_expert == len(success):
        return DEMONSTRATED
    start = success.state(success.n_expert)
    return "+".join(dict.fromkeys(e.source for e in experts if e.contains(start)))


# ------------------------------------------------------------------------------ as a section of a report


class Training(NamedTuple):
    """How a method came to solve its training tasks, a mapping a seed, and what it was trained on last."""

    firsts: dict[int, dict[str, FirstSuccess | None]]
    shares: TrainingSetShares
    marked: bool  # whether its experts marked their mistakes


def read_training(method: Method) -> Training:
    """Read how a method came to solve its training tasks, seed by seed, because the simulations of one are many."""
    firsts, examples, marked = {}, [], False
    for seed, run, tasks in zip(method.seeds, method.stages, method.tasks(), strict=True):
        data = read_training_data(run, method.card)
        firsts[seed] = first_successes(tasks, data)
        examples.append(data._replace(experts=[], simulations=[]))
        marked |= any(t.marks for t in data.experts)
    return Training(firsts, training_set_shares(method.name, examples)[-1], marked)


def analysis_chapter(
    methods: Sequence[Method],
    evaluations: Sequence[Evaluation],
    solutions: Sequence[Trajectory],
    kinds: Mapping[str, str],
    measures: Sequence[Measure],
) -> Chapter:
    """Return EEF §3.1 and §1 as numbers: win rate by difficulty, who solved what first, and what was trained on.

    Args:
        evaluations: of the methods and of the experts, on the test set.
        solutions: a perfect expert's on the tasks of the test set; none if no perfect expert is scripted.
        kinds: the kind of each task, in words.
        measures: of how hard a task is.
    """
    found = {m.name: read_training(m) for m in methods}
    return chapter(
        "why",
        "Why",
        *difficulty_blocks(evaluations, solutions, kinds, measures),
        Prose(_unsolved_sentence(_unsolved(found))),
        Figure("origins", _ORIGINS, evaluation.origins({m: _origin_shares(t) for m, t in found.items()})),
        _growth_table(found),
        _first_table(found),
        *_mistakes(found),
        _training_set_table(found),
    )


_ORIGINS = (
    "Of each method the training tasks that it came to have a solution for: demonstrated by an expert, found from the "
    "task’s start, or found from inside an expert’s trajectory."
)
_MISTAKES = (
    "The scripted experts mark the mistakes that they make on purpose. No method sees the marks; they show how much "
    "of the training set would better have been left out."
)


def _mistakes(found: Mapping[str, Training]) -> list[Prose | Figure]:
    """Return the share of trained mistakes, or nothing if no expert marks its mistakes: a share of 0 would then say nothing."""
    if not any(of.marked for of in found.values()):
        return []
    shares = {m: of.shares.mistakes for m, of in found.items()}
    caption = (
        "Of the actions that each method’s last model was trained on, those that are an expert’s mistakes."
    )
    return [
        Prose(_MISTAKES),
        Figure("mistakes", caption, evaluation.shares(shares, "trained actions that are mistakes")),
    ]


def _growth_table(found: Mapping[str, Training]) -> Table:
    """Return how many tasks each method first solved in each iteration, and from where."""
    rows = []
    for method, of in found.items():
        ways = sorted({(f.iteration, f.origin) for seed in of.firsts.values() for f in seed.values() if f})
        for iteration, origin in ways:
            firsts = [
                f for seed in of.firsts.values() for f in seed.values() if f and f[:2] == (iteration, origin)
            ]
            share = stats.rate(_where(of, lambda f, way=(iteration, origin): f is not None and f[:2] == way))
            rows.append(
                (
                    cells.words(method),
                    cells.count(iteration),
                    cells.words(_words(origin)),
                    cells.share(share),
                    cells.count(sum(f.n_expert for f in firsts) / len(firsts), digits=1),
                )
            )
    columns = (
        Column("Method", key="method", words=True),
        Column("iteration"),
        Column("first solved from", words=True),
        Column("share of training tasks"),
        Column("expert actions at its head"),
    )
    note = "Iteration 0 is what the experts demonstrated. Small print: 95 % intervals over seeds and tasks."
    return Table("growth", columns, tuple(rows), note=note)


def _first_table(found: Mapping[str, Training]) -> Table:
    """Return the shares of tasks that each method solved, was among the first to solve, and was alone the first to solve."""
    ever = {m: _where(of, lambda f: f is not None) for m, of in found.items()}
    first, alone = _credit_arrays(found)
    rows = tuple(
        (
            cells.words(m),
            cells.share(stats.rate(ever[m])),
            cells.share(stats.rate(first[m])),
            cells.share(stats.rate(alone[m])),
        )
        for m in found
    )
    columns = (
        Column("Method", key="method", words=True),
        Column("solved"),
        Column("among the first to"),
        Column("alone the first to"),
    )
    note = (
        "Shares of the training tasks. First: in the earliest iteration in which any of these methods has a solution; "
        "methods that share a stage share its solutions. Small print: 95 % intervals over seeds and tasks."
    )
    return Table("first_solved", columns, rows, note=note)


def _credit_arrays(found: Mapping[str, Training]) -> tuple[dict[str, Array], dict[str, Array]]:
    first: dict[str, list[list[float]]] = {m: [] for m in found}
    alone: dict[str, list[list[float]]] = {m: [] for m in found}
    for seed in sorted({seed for of in found.values() for seed in of.firsts}):
        present = {m: of.firsts[seed] for m, of in found.items() if seed in of.firsts}
        by = [credit.firsts if credit else {} for credit in credits(present).values()]
        for m in present:
            first[m].append([float(m in firsts) for firsts in by])
            alone[m].append([float(m in firsts and len(firsts) == 1) for firsts in by])
    return {m: np.array(rows) for m, rows in first.items()}, {m: np.array(rows) for m, rows in alone.items()}


def _unsolved(found: Mapping[str, Training]) -> Array:
    """Return [R, T] whether no method of the seed solved the task."""
    seeds = set.intersection(*(set(of.firsts) for of in found.values()))
    of_seed = (credits({m: of.firsts[seed] for m, of in found.items()}).values() for seed in sorted(seeds))
    return np.array([[float(credit is None) for credit in by_task] for by_task in of_seed])


def _unsolved_sentence(unsolved: Array) -> str:
    if not unsolved.size:
        return "No seed has all methods yet."
    by_all = int(unsolved.all(axis=0).sum())
    n = unsolved.shape[1]
    if len(unsolved) == 1:
        return f"{by_all:,} of the {n:,} training tasks were solved by no method."
    return (
        f"{100 * unsolved.mean():.1f} % of the {n:,} training tasks were solved by no method of a seed; "
        f"{by_all:,} of them in none of the {len(unsolved)} seeds."
    )


def _origin_shares(of: Training) -> dict[str, float]:
    ways = {
        "demonstrated": lambda f: f is not None and f.origin == DEMONSTRATED,
        "from the start": lambda f: f is not None and f.origin == ALONE,
        "from an expert’s state": lambda f: f is not None and f.origin not in (DEMONSTRATED, ALONE),
    }
    return {kind: float(_where(of, way).mean()) for kind, way in ways.items()}


def _where(of: Training, way: Callable[[FirstSuccess | None], bool]) -> Array:
    """Return [R, T] whether `way` holds for how a task was first solved."""
    return np.array([[float(way(first)) for first in seed.values()] for seed in of.firsts.values()])


def _words(origin: str) -> str:
    return {DEMONSTRATED: "demonstrated", ALONE: "the task’s start"}.get(origin, f"states of {origin}")


def _training_set_table(found: Mapping[str, Training]) -> Table:
    marked = any(of.marked for of in found.values())
    columns: list[tuple[Column, Callable[[TrainingSetShares], Cell]]] = [
        (Column("Method", key="method", words=True), lambda t: cells.words(t.method)),
        (Column("iteration"), lambda t: cells.count(t.iteration)),
        (Column("trained actions"), lambda t: cells.score(t.actions, 0)),
        (Column("an expert’s"), lambda t: cells.share(t.expert)),
        *([(Column("an expert’s mistakes"), lambda t: cells.share(t.mistakes))] if marked else []),
        (Column("of lost trajectories"), lambda t: cells.share(t.lost)),
    ]
    rows = tuple(tuple(cell(of.shares) for _, cell in columns) for of in found.values())
    note = (
        "The training set of the last supervised iteration. A training set is known whole: the interval is over other "
        "seeds, and with one seed it is a point."
    )
    return Table("trained", tuple(column for column, _ in columns), rows, note=note)
