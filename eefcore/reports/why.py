"""Why one method is better than another: what it was trained on, and which tasks it came to solve, and how.

    trained_on      expert actions and mistakes as shares of what was trained (EEF §1)
    difficulty      what a perfect solution asks of each task (EEF §3.1, simplicity bias)
    won_by          win rate by difficulty
    first_solved    D⁺ growing: in which iteration, from s_0 or from how many actions of which expert
    credits         who solved a task first, over methods and seeds; None for tasks that nobody solved

Functions of trajectories and examples; `learnt` alone reads a run's stages. The marks of an expert's mistakes
are read after everything was decided.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from eefcore.evaluation import metrics, stats
from eefcore.evaluation.metrics import Evaluation
from eefcore.evaluation.stats import Estimate
from eefcore.experts.registry import Measure
from eefcore.selection.algorithm import Repository, TrainingSet, counts, solution
from eefcore.storage import stages as store
from eefcore.types import Card, Example, State, Trajectory

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
DEMONSTRATED = "demonstrated"  # where a success comes from that an expert acted to its end
ALONE = "s_0"  # where one comes from that no expert had a part in


class Learnt(NamedTuple):
    """What one method of one run read and was trained on, in the order of Algorithm 1."""

    experts: list[Trajectory]  # D_e
    simulations: list[list[Trajectory]]  # D_1, D_2, …
    examples: list[list[Example]]  # what the model of each iteration was trained on


class TrainedOn(NamedTuple):
    """The training set of one iteration of a method, mean over seeds; shares are of its trained actions.

    A training set is known whole: its interval speaks of other seeds alone, and is a point for a single one.
    """

    method: str
    iteration: int  # 1 is behaviour cloning
    actions: Estimate  # trained actions
    expert: Estimate  # share that is an expert's
    mistakes: Estimate  # share that is an expert's mistake
    lost: Estimate  # share in trajectories that were not won


class First(NamedTuple):
    """The first success on a task; of several in one iteration the one that the paper would train."""

    iteration: int  # i of the D_i that holds it; 0 is D_e
    origin: (
        str  # DEMONSTRATED, ALONE, or the expert whose actions are its head (strong+weak where both acted so)
    )
    n_expert: int  # actions of an expert at its head
    length: int  # |τ|


class Credit(NamedTuple):
    """Who solved a task in the earliest iteration, and how."""

    iteration: int
    firsts: dict[str, First]


def learnt(stages: Mapping[str, Path], method: str, card: Card) -> Learnt:
    """What `method` of a run read and was trained on; `stages` are folders by `<method>/<name>`, as a report reads them.

    Raises:
        CardMismatch: a stage was made in another environment.
    """

    def each(name: str, file: str, kind: type[R]) -> list[list[R]]:
        prefix = f"{method}/{name}"
        numbers = sorted(int(n) for key in stages if (n := key.removeprefix(prefix)).isdecimal())
        return [store.read_records(stages[f"{prefix}{n}"] / file, kind, card=card).list for n in numbers]

    return Learnt(
        store.read_records(stages[f"{method}/experts"] / "experts.jsonl", Trajectory, card=card).list,
        each("simulations", "simulations.jsonl", Trajectory),
        each("select", "examples.jsonl", Example),
    )


def trained_on(method: str, seeds: Sequence[Learnt]) -> list[TrainedOn]:
    """What each iteration of a method was trained on, over its seeds: a row an iteration."""
    return [
        TrainedOn(
            method, i, *(stats.mean(np.array([[v] for v in values])) for values in zip(*told, strict=True))
        )
        for i, sets in enumerate(zip(*(seed.examples for seed in seeds), strict=True), 1)
        for told in [[_shares(examples) for examples in sets]]
    ]


def difficulty(solutions: Iterable[Trajectory], measure: Measure) -> dict[str, int]:
    """How hard each task is by `measure`, told by the solution of a perfect expert; a task that even it lost is left out."""
    return {t.task_id: measure.of(t) for t in solutions if t.win}


def won_by(group: Mapping[str, K], evaluations: Iterable[Evaluation]) -> dict[str, dict[K, Estimate]]:
    """Win rate of each method within each group of tasks, groups in order; tasks without a group are left out.

    `group` is how hard a task is by one measure, or the kind of task it is (`experts.scripted.Scripts`).
    """
    return {
        e.method: metrics.win_rate_by(group, *([t for t in run if t.task_id in group] for run in e.runs))
        for e in evaluations
    }


def first_solved(tasks: Iterable[str], learnt: Learnt) -> dict[str, First | None]:
    """How each task was first solved: in D_e, D_1, D_2, … by whoever comes first; None if it never was.

    Of the successes of one iteration it is `solution`'s choice: with the fewest expert actions.
    """
    found = [Repository(d) for d in (learnt.experts, *learnt.simulations)]
    return {
        task: next(
            (
                First(i, _origin(t, learnt.experts), t.n_expert, len(t))
                for i, repository in enumerate(found)
                if (t := solution(State(task), repository)) is not None
            ),
            None,
        )
        for task in tasks
    }


def credits(firsts: Mapping[str, Mapping[str, First | None]]) -> dict[str, Credit | None]:
    """Who solved each task in the earliest iteration, all who did so; None for the tasks that nobody ever solved.

    Args:
        firsts: `first_solved` by method, or by method and seed in words, all over the same tasks.
    """
    out: dict[str, Credit | None] = {}
    for task in next(iter(firsts.values()), {}):
        solved = {name: first for name, by_task in firsts.items() if (first := by_task[task]) is not None}
        earliest = min((first.iteration for first in solved.values()), default=None)
        out[task] = (
            None
            if earliest is None
            else Credit(
                earliest, {name: first for name, first in solved.items() if first.iteration == earliest}
            )
        )
    return out


def _shares(examples: Sequence[Example]) -> tuple[float, float, float, float]:
    """Trained actions, and the shares of them that are an expert's, an expert's mistakes, in lost trajectories."""
    told = counts(TrainingSet(list(examples), []), Repository(), [])
    lost = sum(len(e.trained_indices) for e in examples if not e.trajectory.win)
    n = told.trained_actions or 1
    return told.trained_actions, told.expert_actions / n, told.mistakes, lost / n


def _origin(success: Trajectory, experts: Iterable[Trajectory]) -> str:
    """Whose actions are at the head of a success."""
    if not success.n_expert:
        return ALONE
    if success.n_expert == len(success):
        return DEMONSTRATED
    start = success.state(success.n_expert)
    return "+".join(dict.fromkeys(e.source for e in experts if e.contains(start)))
