"""Line up the trajectories of several seeds on one panel of tasks, as an array of scores [seeds, tasks].

A panel is the set of tasks that every seed of every compared method plays, one trajectory a task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from eefcore.evaluation.stats import Array
from eefcore.types import Card, Trajectory

Run = Sequence[Trajectory]
"""The trajectories of one seed on a panel, one a task."""


class Evaluation(NamedTuple):
    """The trajectories of a method on a panel, one run for each seed, and the environment's card.

    `seeds` names the seed of each run; it may stay empty where all methods have the same seeds.
    """

    method: str
    card: Card
    runs: tuple[Run, ...]
    seeds: tuple[int, ...] = ()


def score_matrix(
    runs: Sequence[Run], score: Callable[[Trajectory], float], panel: Sequence[str] | None = None
) -> Array:
    """Return the scores of trajectories, shape [R, T], R seeds and T tasks; NaN for infrastructure failures.

    Tasks are in the order of `panel`, or of the first run.

    Raises:
        ValueError: the runs played different tasks, or one of them played a task twice.
    """
    tasks = panel_tasks(runs) if panel is None else panel
    out = np.full((len(runs), len(tasks)), np.nan)
    column = {task: i for i, task in enumerate(tasks)}
    for row, run in zip(out, runs, strict=True):
        for t in run:
            if not t.stop.infrastructure:
                row[column[t.task_id]] = score(t)
    return out


def panel_tasks(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the tasks that all `runs` played, in the order of the first.

    Raises:
        ValueError: there is no run, the runs played different tasks, or one of them played a task twice.
    """
    if not runs:
        raise ValueError("no run was given; a seed that judged nothing is an empty list")
    panels = [tuple(t.task_id for t in run) for run in runs]
    for seed, panel in enumerate(panels):
        if len(set(panel)) < len(panel):
            twice, _ = Counter(panel).most_common(1)[0]
            raise ValueError(
                f"seed {seed} holds {twice} more than once; evaluate one episode a task, or give samples as runs"
            )
        if set(panel) != set(panels[0]):
            odd = min(set(panel) ^ set(panels[0]))
            raise ValueError(
                f"seeds 0 and {seed} played different tasks, {odd} is one; evaluate all on one panel"
            )
    return panels[0]


def on_common_seeds(a: Evaluation, b: Evaluation) -> tuple[Evaluation, Evaluation]:
    """Return both evaluations, cut to the seeds that both have; as they are if either names no seeds.

    Raises:
        ValueError: both name their seeds, and have none in common.
    """
    if not a.seeds or not b.seeds:
        return a, b
    seeds = tuple(seed for seed in a.seeds if seed in b.seeds)
    if not seeds:
        raise ValueError(
            f"{a.method} has the seeds {a.seeds}, {b.method} {b.seeds}, none in common; run one more of either"
        )
    runs_a, runs_b = (dict(zip(e.seeds, e.runs, strict=True)) for e in (a, b))
    return (
        a._replace(runs=tuple(runs_a[s] for s in seeds), seeds=seeds),
        b._replace(runs=tuple(runs_b[s] for s in seeds), seeds=seeds),
    )
