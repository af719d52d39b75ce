"""Explain why one method is better than another, over seeds, as the section `analysis_chapter` of a report.

It has win rate by how hard a task is (the simplicity bias of EEF §3.1), which tasks a method came to solve and from where
(`first_successes`, `first_solvers`), and what it was trained on (`training_set_shares`: EEF §1). Experts mark their
mistakes; the marks are read only here, after everything was decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

import numpy as np

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.panel import Evaluation
from eefcore.evaluation.stats import Array, Estimate
from eefcore.experts.registry import Measure
from eefcore.figures import evaluation
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Block, Chapter, Figure, Prose, chapter
from eefcore.reports.document.cells import Cell, Column, Table
from eefcore.reports.evidence import Method
from eefcore.selection.algorithm import Repository, TrainingSet, count_selection, solution
from eefcore.storage.records import read_records
from eefcore.storage.stage_inputs import StageInputs
from eefcore.types import Card, Example, State, Trajectory

K = TypeVar("K", int, str)

DEMONSTRATED = "demonstrated"  # the origin of a success that an expert acted to its end
ALONE = "s_0"  # the origin of a success without any expert action


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
    origin: str  # DEMONSTRATED, ALONE, or the experts whose actions are its head, such as strong+weak
    n_expert: int  # expert actions at its head
    length: int  # |τ|


FirstSuccesses = dict[str, FirstSuccess | None]
"""How each task was first solved; None if it never was."""


def training_set_shares(method: str, iteration: int, seeds: Sequence[Sequence[Example]]) -> TrainingSetShares:
    """Return the shares of what one iteration of a method was trained on, over its seeds."""
    shares = zip(*map(_shares, seeds), strict=True)
    return TrainingSetShares(
        method, iteration, *(stats.mean(np.array([[v] for v in values])) for values in shares)
    )


def first_successes(tasks: Iterable[str], rounds: Sequence[Sequence[Trajectory]]) -> FirstSuccesses:
    """Return how each task was first solved in `rounds` = D_e, D_1, D_2, …, in whichever comes first.

    Of the successes of one iteration it is the choice of `solution`: the one with the fewest expert actions.
    """
    repositories = [Repository(d) for d in rounds]

    def first(task: str) -> FirstSuccess | None:
        for i, repository in enumerate(repositories):
            if (t := solution(State(task), repository)) is not None:
                return FirstSuccess(i, _origin(t, rounds[0]), t.n_expert, len(t))
        return None

    return {task: first(task) for task in tasks}


def first_solvers(firsts: Mapping[str, FirstSuccesses]) -> dict[str, set[str]]:
    """Return for each task all methods that solved it in the earliest iteration in which any did.

    Args:
        firsts: `first_successes` by method, all over the same tasks.
    """
    out = {}
    for task in next(iter(firsts.values()), {}):
        iterations = {name: first.iteration for name, of in firsts.items() if (first := of[task])}
        earliest = min(iterations.values(), default=None)
        out[task] = {name for name, iteration in iterations.items() if iteration == earliest}
    return out


def _shares(examples: Sequence[Example]) -> tuple[float, float, float, float]:
    """Return the number of trained actions, and the shares that are an expert's, its mistakes, and in lost trajectories."""
    found = count_selection(TrainingSet(list(examples), []), Repository(), [])
    lost = sum(len(e.trained_indices) for e in examples if not e.trajectory.win)
    n = found.trained_actions or 1
    return found.trained_actions, found.expert_actions / n, found.mistakes, lost / n


def _origin(success: Trajectory, experts: Iterable[Trajectory]) -> str:
    """Return who took the first actions of a success: an expert or the policy."""
    if not success.n_expert:
        return ALONE
    if success.n_expert == len(success):
        return DEMONSTRATED
    start = success.state(success.n_expert)
    return "+".join(dict.fromkeys(e.source for e in experts if e.contains(start)))


# ------------------------------------------------------------------------------ as a section of a report


class Training(NamedTuple):
    """How a method first solved each training task, by seed, and its last training set."""

    firsts: dict[int, FirstSuccesses]
    shares: TrainingSetShares
    marked: bool  # whether its experts marked their mistakes

    def where(self, condition: Callable[[FirstSuccess], bool]) -> Array:
        """Return [R, T] whether a task was solved, and `condition` holds for how it first was."""
        return np.array(
            [[float(f is not None and condition(f)) for f in seed.values()] for seed in self.firsts.values()]
        )


def read_training(method: Method) -> Training:
    """Read how a method first solved each training task; seed by seed, because the simulations of one are many."""
    firsts, marked = {}, False
    for seed, run, tasks in zip(method.seeds, method.stages, method.tasks(), strict=True):
        rounds = read_rounds(run, method.card)
        firsts[seed] = first_successes(tasks, rounds)
        marked |= any(t.marks for t in rounds[0])
    last = max(method.numbered("select"))
    return Training(firsts, training_set_shares(method.name, last, method.examples(last)), marked)


def read_rounds(run: StageInputs[Path], card: Card) -> list[list[Trajectory]]:
    """Return D_e, D_1, D_2, … of a method of one seed.

    Raises:
        CardMismatch: a stage was made in another environment.
    """
    files = [folder / "simulations.jsonl" for folder in run.by_iteration("simulations").values()]
    return [
        read_records(file, Trajectory, card=card).list for file in [run["experts"] / "experts.jsonl", *files]
    ]


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
    seeds = sorted({seed for of in found.values() for seed in of.firsts})
    solvers = {
        seed: list(first_solvers({m: f.firsts[seed] for m, f in found.items() if seed in f.firsts}).values())
        for seed in seeds
    }
    return chapter(
        "why",
        "Why",
        *(_difficulty(evaluations, solutions, kinds, measures) if any(t.win for t in solutions) else []),
        Prose(_unsolved_sentence(found, solvers)),
        Figure("origins", _ORIGINS, evaluation.origins({m: _origin_shares(t) for m, t in found.items()})),
        _growth_table(found),
        _first_table(found, solvers),
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
        firsts = [f for seed in of.firsts.values() for f in seed.values() if f]
        for way in sorted({(f.iteration, f.origin) for f in firsts}):
            share = stats.rate(of.where(lambda f, way=way: (f.iteration, f.origin) == way))
            heads = fmean(f.n_expert for f in firsts if (f.iteration, f.origin) == way)
            rows.append((method, *way, share, heads))
    columns: cells.Columns[tuple[str, int, str, Estimate, float]] = [
        (Column("Method", key="method", words=True), lambda row: cells.words(row[0])),
        (Column("iteration"), lambda row: cells.count(row[1])),
        (
            Column("first solved from", words=True),
            lambda row: cells.words(_ORIGIN.get(row[2], f"states of {row[2]}")),
        ),
        (Column("share of training tasks"), lambda row: cells.share(row[3])),
        (Column("expert actions at its head"), lambda row: cells.count(row[4], digits=1)),
    ]
    note = "Iteration 0 is what the experts demonstrated. Small print: 95 % intervals over seeds and tasks."
    return cells.make_table("growth", columns, rows, note=note)


_ORIGIN = {DEMONSTRATED: "demonstrated", ALONE: "the task’s start"}


def _first_table(found: Mapping[str, Training], solvers: Mapping[int, Sequence[set[str]]]) -> Table:
    """Return the shares of tasks that each method solved, was among the first to solve, and was alone the first to solve."""

    def share(method: str, condition: Callable[[set[str]], bool]) -> Cell:
        seeds = found[method].firsts
        return cells.share(
            stats.rate(np.array([[float(condition(names)) for names in solvers[seed]] for seed in seeds]))
        )

    columns: cells.Columns[str] = [
        (Column("Method", key="method", words=True), cells.words),
        (Column("solved"), lambda m: cells.share(stats.rate(found[m].where(lambda f: True)))),
        (Column("among the first to"), lambda m: share(m, lambda names: m in names)),
        (Column("alone the first to"), lambda m: share(m, lambda names: names == {m})),
    ]
    note = (
        "Shares of the training tasks. First: in the earliest iteration in which any of these methods has a solution; "
        "methods that share a stage share its solutions. Small print: 95 % intervals over seeds and tasks."
    )
    return cells.make_table("first_solved", columns, found, note=note)


def _unsolved_sentence(found: Mapping[str, Training], solvers: Mapping[int, Sequence[set[str]]]) -> str:
    """Say how many tasks no method solved, in the seeds that all methods have."""
    unsolved = np.array(
        [
            [not names for names in by_task]
            for seed, by_task in solvers.items()
            if all(seed in of.firsts for of in found.values())
        ]
    )
    if not unsolved.size:
        return "No seed has all methods yet."
    in_all, n = int(unsolved.all(axis=0).sum()), unsolved.shape[1]
    if len(unsolved) == 1:
        return f"{in_all:,} of the {n:,} training tasks were solved by no method."
    return (
        f"{100 * unsolved.mean():.1f} % of the {n:,} training tasks were solved by no method of a seed; "
        f"{in_all:,} of them in none of the {len(unsolved)} seeds."
    )


def _origin_shares(of: Training) -> dict[str, float]:
    ways: dict[str, Callable[[FirstSuccess], bool]] = {
        "demonstrated": lambda f: f.origin == DEMONSTRATED,
        "from the start": lambda f: f.origin == ALONE,
        "from an expert’s state": lambda f: f.origin not in (DEMONSTRATED, ALONE),
    }
    return {kind: float(of.where(way).mean()) for kind, way in ways.items()}


def _training_set_table(found: Mapping[str, Training]) -> Table:
    columns: list[tuple[Column, Callable[[TrainingSetShares], Cell]]] = [
        (Column("Method", key="method", words=True), lambda t: cells.words(t.method)),
        (Column("iteration"), lambda t: cells.count(t.iteration)),
        (Column("trained actions"), lambda t: cells.score(t.actions, 0)),
        (Column("an expert’s"), lambda t: cells.share(t.expert)),
        (Column("of lost trajectories"), lambda t: cells.share(t.lost)),
    ]
    if any(of.marked for of in found.values()):
        columns.insert(4, (Column("an expert’s mistakes"), lambda t: cells.share(t.mistakes)))
    note = (
        "The training set of the last supervised iteration. A training set is known whole: the interval is over other "
        "seeds, and with one seed it is a point."
    )
    return cells.make_table("trained", columns, (of.shares for of in found.values()), note=note)


# ------------------------------------------------------------------------------ how hard a task is


def difficulty(solutions: Iterable[Trajectory], measure: Measure) -> dict[str, int]:
    """Return how hard each task is by `measure` of a perfect expert's solution; tasks that even it lost are left out."""
    return {t.task_id: measure.value(t) for t in solutions if t.win}


def win_rate_by_group(
    group: Mapping[str, K], evaluations: Iterable[Evaluation]
) -> dict[str, dict[K, Estimate]]:
    """Return the win rate of each method within each group of tasks, in order; tasks without a group are left out."""
    return {
        e.method: metrics.win_rate_by(group, *([t for t in run if t.task_id in group] for run in e.runs))
        for e in evaluations
    }


def _difficulty(
    evaluations: Sequence[Evaluation],
    solutions: Sequence[Trajectory],
    kinds: Mapping[str, str],
    measures: Sequence[Measure],
) -> list[Block | Figure]:
    """Return win rate by each of `measures` of a perfect expert's `solutions`, and by kind of task, as figures and a table."""
    levels = [difficulty(solutions, m) for m in measures]
    needs = f"{' and '.join(m.demand for m in measures)} {'ask' if len(measures) > 1 else 'asks'}"
    policies = [e for e in evaluations if not e.method.startswith("expert: ")]
    figures = [
        Figure(
            f"by_{m.name}",
            f"Win rate by {m.phrase}.",
            evaluation.by_difficulty(win_rate_by_group(level, policies), m.title),
        )
        for m, level in zip(measures, levels, strict=True)
    ]
    groups: list[tuple[str, str, Mapping[str, Any]]] = [
        (f"{m.title[0].upper()}{m.title[1:]}", m.name, level)
        for m, level in zip(measures, levels, strict=True)
    ]
    groups.append(("Kind of task", "kind", {task: kinds[task] for task in levels[0] if task in kinds}))
    columns: list[tuple[Column, Callable[[Evaluation], Cell]]] = [
        (Column("Method", key="method", words=True), lambda e: cells.words(e.method))
    ]
    for heading, key, group in groups:
        rates, sizes = win_rate_by_group(group, evaluations), Counter(group.values())
        columns += [
            (
                Column(f"{g} (n = {sizes[g]:,})", heading, f"{key} {g}"),
                lambda e, rates=rates, g=g: cells.share(rates[e.method][g]),
            )
            for g in sorted(sizes)
        ]
    note = "Win rate on the test set. Small print: 95 % intervals over seeds and tasks."
    return [
        Prose(_BIAS.format(needs)),
        *figures,
        cells.make_table("difficulty", columns, evaluations, note=note),
    ]


_BIAS = (
    "Simplicity bias: behaviour cloning and rejection sampling keep what is easy to solve. What {} of a task, measured on "
    "a perfect expert’s solution, makes it visible."
)
