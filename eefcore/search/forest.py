"""Grow the trees of a stage, and count what they found and cost (Agent Q §5.1).

    plant_trees   a tree at s_0 of each task, with a failed expert trajectory as its main branch  (EEF in the tree)
    grow_trees    all of them, a share of the task's simulations each; a journal keeps them
    count_trees   what growing them found, by the logged keys
    search_cost   what growing them cost, in the units of the ledger

EEF in the tree is ours: half of the simulations of a task begin at the M states of the failed trajectory that EEF would
explore from (`trunk`). The number of simulations of a task is the same either way.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from eefcore.protocols import Benchmark
from eefcore.search.cost import Tally
from eefcore.search.growth import new_trees
from eefcore.search.settings import SearchSettings, Signal
from eefcore.search.tree import EdgeId, Tree
from eefcore.search.trunk import add_trunk
from eefcore.selection.algorithm import explored_steps
from eefcore.storage.cost import Cost, total_cost
from eefcore.types import History, Trajectory


def plant_trees(
    benchmark: Benchmark,
    tasks: Sequence[str],
    experts: Iterable[Trajectory],
    settings: SearchSettings,
    *,
    M: int,
    source: str,
) -> list[Tree]:
    """Return a tree at s_0 of each task; if M, one for each failed trajectory of `experts`, which is its trunk.

    Every other simulation of such a tree begins at one of s_l, …, s_Ml.
    """
    failed: dict[str, list[Trajectory]] = defaultdict(list)
    for e in experts:
        if M and not e.win and len(e):
            failed[e.task_id].append(e)
    return [
        tree
        for bare in new_trees(benchmark, tasks, settings, Signal.REWARD, source=source)
        for tree in [add_trunk(bare, e, explored_steps(len(e), M)) for e in failed[bare.task_id]] or [bare]
    ]


def grow_trees(
    trees: Sequence[Tree],
    simulations: int,
    grow_to: Callable[[int, Sequence[Tree]], list[Tree]],
) -> list[Tree]:
    """Return the trees, in the same order, grown so that each task takes `simulations`, shared among its trees.

    Args:
        grow_to: grows some trees to so many simulations each (`growth.grow`, in a journal for each number).
    """
    of_task: dict[str, list[int]] = defaultdict(list)
    for i, tree in enumerate(trees):
        of_task[tree.task_id].append(i)
    by_share: dict[int, list[int]] = defaultdict(list)
    for indices in of_task.values():
        for nth, i in enumerate(indices):
            share = simulations // len(indices) + (nth < simulations % len(indices))
            by_share[share].append(i)
    grown: dict[int, Tree] = {}
    for to, indices in sorted(by_share.items()):
        grown.update(zip(indices, grow_to(to, [trees[i] for i in indices]), strict=True))
    return [grown[i] for i in range(len(trees))]


def trajectories(trees: Iterable[Tree]) -> list[Trajectory]:
    """Return the trajectory of every simulation, tree by tree."""
    return [tree.trajectory(simulation) for tree in trees for simulation in tree.simulations]


class TreeCounts(NamedTuple):
    """What trees found; the names are those of the logged keys."""

    trees: int  # trees grown
    simulations: int  # simulations whose return was backed up
    nodes: float  # mean of a tree
    depth: float  # mean of a tree's deepest node, in actions from its root
    solved: float  # share of the tasks of which a simulation won
    first: float  # share of the tasks whose first simulation won: pass@1
    value: float  # mean return of a simulation
    merged: float  # share of the proposals that had the effect of another
    malformed: float  # share of the proposals without an action
    unparseable: float  # share of the critic's answers that named no action
    neutral: int  # rankings left incomplete because of it
    agreement: float  # Spearman's rank correlation of Q̂ with Q̃ over explored edges; NaN if there is none
    failed: int  # simulations that the infrastructure spoilt
    irreversible: int  # actions that can't be undone outside, done in a snapshot
    violations: int  # such actions anywhere else


def count_trees(trees: Sequence[Tree], agreement: float) -> TreeCounts:
    """Count what grown trees found; `agreement` is their `calibration.agreement`."""
    tally = sum((t.tally for t in trees), Tally())
    simulations = [s for t in trees for s in t.simulations]
    of_task: dict[str, list[Tree]] = defaultdict(list)
    for tree in trees:
        of_task[tree.task_id].append(tree)
    wins = {task: [s.reward == 1.0 for t in some for s in t.simulations] for task, some in of_task.items()}
    return TreeCounts(
        trees=len(trees),
        simulations=len(simulations),
        nodes=_share(sum(len(t.nodes) for t in trees), len(trees)),
        depth=_share(sum(_depth(t) for t in trees), len(trees)),
        solved=_share(sum(map(any, wins.values())), len(wins)),
        first=_share(sum(w[0] for w in wins.values() if w), len(wins)),
        value=_share(sum(s.value for s in simulations), len(simulations)),
        merged=_share(tally.merged, tally.proposals),
        malformed=_share(tally.malformed, tally.proposals),
        unparseable=_share(tally.unparseable, tally.critic_asked),
        neutral=tally.neutral,
        agreement=agreement,
        failed=tally.failed,
        irreversible=tally.irreversible,
        violations=tally.violations,
    )


def pass_at(trees: Sequence[Tree], budgets: Iterable[int]) -> dict[int, float]:
    """Return pass@k of each k: the share of the tasks with a win among their first k simulations, over all their trees."""
    wins: dict[str, list[bool]] = defaultdict(list)
    for tree in trees:
        wins[tree.task_id] += [s.reward == 1.0 for s in tree.simulations]
    return {k: _share(sum(any(w[:k]) for w in wins.values()), len(wins)) for k in budgets}


def illustrative_tree(trees: Sequence[Tree]) -> Tree:
    """Return the tree that shows most: the largest of those with wins and losses, if there are any."""

    def rank(tree: Tree) -> tuple[bool, int]:
        wins = sum(s.reward == 1.0 for s in tree.simulations)
        return 0 < wins < len(tree.simulations), len(tree.nodes)

    return max(trees, key=rank)


def search_cost(trees: Iterable[Tree], length: Callable[[History], int]) -> Cost:
    """Return what growing `trees` cost: environment steps, tokens read and tokens written.

    It is computed from the trees, so that growth that was killed and continued costs the same as growth without a break.
    A page is counted as read once for all simulations that pass it, as by a policy that keeps what it read; the critic's
    questions are all counted.

    Args:
        length: returns the tokens of a history as the policy reads it.
    """
    return total_cost(_tree_cost(tree, length) for tree in trees)


def _tree_cost(tree: Tree, length: Callable[[History], int]) -> Cost:
    lengths = {0: length(tree.root)}
    n_read = lengths[0]
    by_simulations = {
        edge_id for s in tree.simulations for edge_id in tree.path(s.node)
    }  # the policy does not read an edge that only the trunk passed
    for k, node in enumerate(tree.nodes):  # parents come before their children
        for i, edge in enumerate(node.edges):
            if EdgeId(k, i) in by_simulations:
                lengths[edge.child] = length(tree.history(edge.child))
                n_read += lengths[edge.child] - lengths[k] - len(edge.reply.tokens)
    for simulation in tree.simulations:
        n_written = sum(len(step.tokens) for step in simulation.steps)
        n_read += length(tree.final_history(simulation)) - lengths[simulation.node] - n_written
    return Cost(
        episodes=tree.attempts,
        env_steps=tree.tally.env_steps,
        tokens_written=tree.tally.tokens_written,
        tokens_read=max(0, n_read) + tree.tally.critic_read,
    )


def _depth(tree: Tree) -> int:
    depths = [0] * len(tree.nodes)
    for k, node in enumerate(tree.nodes):
        if node.parent >= 0:
            depths[k] = depths[node.parent] + 1
    return max(depths)


def _share(part: float, whole: int) -> float:
    return part / whole if whole else math.nan
