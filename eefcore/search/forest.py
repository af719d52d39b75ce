"""The trees of a stage: where they are rooted, grown so that a kill costs little, and what they came to (Agent Q §5.1).

    roots     s_0 of each task, with the trajectory of an expert that failed as the main branch  (EEF in the tree)
    grown     all of them, some at a time, kept in a journal
    counted   what growing them took and found, by the logged keys

EEF in the tree is ours: half of the simulations that a task may take begin at the M states on the failed trajectory that EEF
would explore from (`trunk`). The budget of a task is the same either way.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from eefcore.protocols import Benchmark
from eefcore.search.growth import planted
from eefcore.search.settings import Settings, Signal
from eefcore.search.tally import Tally
from eefcore.search.tree import Tree
from eefcore.search.trunk import laid
from eefcore.selection.algorithm import explored_steps
from eefcore.types import Trajectory


def roots(
    benchmark: Benchmark,
    tasks: Sequence[str],
    experts: Iterable[Trajectory],
    settings: Settings,
    *,
    M: int,
    source: str,
) -> list[Tree]:
    """A tree at s_0 of each task; if M, one with each failed trajectory of `experts` on it as trunk, and s_l … s_Ml as states."""
    failed: dict[str, list[Trajectory]] = defaultdict(list)
    for e in experts:
        if M and not e.win and len(e):
            failed[e.task_id].append(e)
    return [
        tree
        for bare in planted(benchmark, tasks, settings, Signal.REWARD, source=source)
        for tree in [laid(bare, e, explored_steps(len(e), M)) for e in failed[bare.task_id]] or [bare]
    ]


def grown(
    trees: Sequence[Tree],
    simulations: int,
    grow_to: Callable[[int, Sequence[Tree]], list[Tree]],
) -> list[Tree]:
    """The trees, in the same order, grown so that each task takes `simulations`, shared out among its trees.

    Args:
        grow_to: some of the trees, grown to so many simulations each (`growth.grow`, in a journal for each number).
    """
    of_task: dict[str, list[int]] = defaultdict(list)
    for i, tree in enumerate(trees):
        of_task[tree.task_id].append(i)
    wanted: dict[int, list[int]] = defaultdict(list)
    for places in of_task.values():
        for nth, i in enumerate(places):
            share = simulations // len(places) + (nth < simulations % len(places))
            wanted[share].append(i)
    out = {}
    for to, places in sorted(wanted.items()):
        out.update(zip(places, grow_to(to, [trees[i] for i in places]), strict=True))
    return [out[i] for i in range(len(trees))]


def trajectories(trees: Iterable[Tree]) -> list[Trajectory]:
    """What every simulation came to, tree by tree."""
    return [tree.trajectory(simulation) for tree in trees for simulation in tree.simulations]


class Counts(NamedTuple):
    """What trees amount to; the names are those of the logged keys."""

    trees: int  # grown
    simulations: int  # that landed
    nodes: float  # mean of a tree
    depth: float  # mean of a tree's deepest node, in actions from its root
    solved: float  # share of the tasks of which a simulation won
    first: float  # share of them whose first simulation won: pass@1
    value: float  # mean return: how much a simulation won
    merged: float  # share of the proposals that had the effect of another
    malformed: float  # share of them without an action
    unparseable: float  # share of the critic's answers that named nothing
    neutral: int  # rankings left incomplete because of it
    agreement: float  # Spearman's rank correlation of Q̂ with Q̃ over explored edges; NaN if there is none
    failed: int  # simulations that the infrastructure spoilt
    irreversible: int  # actions that can't be undone outside, done in a snapshot
    violations: int  # such actions anywhere else


def counted(trees: Sequence[Tree], agreement: float) -> Counts:
    """Of grown trees; `agreement` is `calibration.agreement` of them."""
    tally = sum((t.tally for t in trees), Tally())
    made = [s for t in trees for s in t.simulations]
    tasks: dict[str, list[Tree]] = defaultdict(list)
    for tree in trees:
        tasks[tree.task_id].append(tree)
    won = {task: [s.reward == 1.0 for t in some for s in t.simulations] for task, some in tasks.items()}
    return Counts(
        trees=len(trees),
        simulations=len(made),
        nodes=_share(sum(len(t.nodes) for t in trees), len(trees)),
        depth=_share(sum(_depth(t) for t in trees), len(trees)),
        solved=_share(sum(map(any, won.values())), len(won)),
        first=_share(sum(w[0] for w in won.values() if w), len(won)),
        value=_share(sum(s.value for s in made), len(made)),
        merged=_share(tally.merged, tally.proposals),
        malformed=_share(tally.malformed, tally.proposals),
        unparseable=_share(tally.unparseable, tally.critic_asked),
        neutral=tally.neutral,
        agreement=agreement,
        failed=tally.failed,
        irreversible=tally.irreversible,
        violations=tally.violations,
    )


def solved_within(trees: Sequence[Tree], budgets: Iterable[int]) -> dict[int, float]:
    """pass@k of each k: the share of tasks of whose first k simulations, over all their trees, one won."""
    tasks: dict[str, list[bool]] = defaultdict(list)
    for tree in trees:
        tasks[tree.task_id] += [s.reward == 1.0 for s in tree.simulations]
    return {k: _share(sum(any(won[:k]) for won in tasks.values()), len(tasks)) for k in budgets}


def telling(trees: Sequence[Tree]) -> Tree:
    """The tree that shows most: won and lost by much alike, and of those the largest."""

    def tells(tree: Tree) -> tuple[bool, int]:
        won = sum(s.reward == 1.0 for s in tree.simulations)
        return 0 < won < len(tree.simulations), len(tree.nodes)

    return max(trees, key=tells)


def _depth(tree: Tree) -> int:
    below = [0] * len(tree.nodes)
    for k, node in enumerate(tree.nodes):
        if node.parent >= 0:
            below[k] = below[node.parent] + 1
    return max(below)


def _share(part: float, whole: int) -> float:
    return part / whole if whole else math.nan
