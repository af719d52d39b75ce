"""Grow the trees of a stage, and count their results and costs (Agent Q §5.1).

    plant_trees   a tree at s_0 of each task, or one for each failed expert trajectory (EEF in the tree: `add_trunk`)
    grow_trees    all of them, a share of the task's simulations each; a journal keeps them
    count_trees   what growing them found, by the logged keys
    search_cost   what growing them cost, in the units of the ledger

EEF in the tree is ours; no paper has it. The actions of a failed expert trajectory, the trunk, are edges before the tree
grows, each with one visit and the expert's return. Half of the simulations begin at s_0, the others in turn at the M
states of the trunk that EEF would explore from. All returns are backed up to s_0. The number of simulations of a task
is the same either way.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from eefcore.errors import ParamsError
from eefcore.protocols import Benchmark, Reply
from eefcore.search import mcts
from eefcore.search.growth import new_trees
from eefcore.search.mcts import Proposal, StepResult
from eefcore.search.settings import SearchSettings, Signal
from eefcore.search.tree import EdgeId, Simulation, Tally, Tree, copy_tree
from eefcore.selection.algorithm import explored_steps
from eefcore.storage.cost import Cost, total_cost
from eefcore.types import History, StopReason, Trajectory


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


def add_trunk(tree: Tree, expert: Trajectory, states: Sequence[int]) -> Tree:
    """Return a copy of `tree` with the expert's trajectory as trunk; every other simulation begins at an s_i of `states`.

    The expert's actions stand in the tree without tokens: their likelihood under the policy is computed when needed. They
    make no node pairs (`mcts.Proposal.count` is 0), because nearly every failure ends with a purchase, and a policy that
    was trained to reject what the failed expert did stopped buying.

    Raises:
        ParamsError: the tree has grown, has another root than the expert's s_0, or may see no reward.
    """
    history, lost = expert.history, expert.stop is not StopReason.DONE
    if len(tree.nodes) > 1 or tree.signal is not Signal.REWARD or tree.root != history.at(0):
        raise ParamsError(
            f"{tree.task_id}: a trunk needs a tree at s_0 of the expert's own task that has not grown and sees rewards; "
            f"got {len(tree.nodes)} nodes, signal {tree.signal.value}, an expert on {expert.task_id}; "
            "start a new tree on the expert's task with signal reward"
        )
    tree, node = copy_tree(tree), 0
    for i, step in enumerate(history.steps, start=1):
        done = i == len(expert) and not lost
        result = StepResult(history.at(i).observation, done, expert.reward if done else None)
        mcts.expand(tree, node, [Proposal(Reply(step.action), result, count=0)])
        node = tree.nodes[node].edges[0].child
    value = 0.0 if lost else mcts.episode_return(expert.reward, tree.settings)
    tree.trunk = Simulation(
        node, history.observation, expert.stop, value, (), expert.reward, given=len(history)
    )
    mcts.backup(tree, tree.trunk)
    limit = min(len(history), tree.settings.max_turns)
    tree.starts = tuple(s for i in states if i < limit for s in (0, i))
    return tree


def grow_trees(
    trees: Sequence[Tree],
    simulations: int,
    grow_to: Callable[[int, Sequence[Tree]], list[Tree]],
) -> list[Tree]:
    """Return the trees, in the same order, grown so that each task takes `simulations`, shared among its trees.

    `grow_to` grows some trees to so many simulations each (`growth.grow`, in a journal for each number).
    """
    n_trees = Counter(tree.task_id for tree in trees)
    nth: Counter[str] = Counter()
    by_share: dict[int, list[int]] = defaultdict(list)
    for i, tree in enumerate(trees):
        share, rest = divmod(simulations, n_trees[tree.task_id])
        by_share[share + (nth[tree.task_id] < rest)].append(i)
        nth[tree.task_id] += 1
    grown: dict[int, Tree] = {}
    for to, indices in sorted(by_share.items()):
        grown.update(zip(indices, grow_to(to, [trees[i] for i in indices]), strict=True))
    return [grown[i] for i in range(len(trees))]


def trajectories(trees: Iterable[Tree]) -> list[Trajectory]:
    """Return the trajectory of every simulation, tree by tree."""
    return [tree.trajectory(simulation) for tree in trees for simulation in tree.simulations]


class TreeCounts(NamedTuple):
    """Counts of what search trees found; the names are those of the logged keys."""

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
    passed = pass_at(trees, (1, len(simulations)))
    return TreeCounts(
        trees=len(trees),
        simulations=len(simulations),
        nodes=_share(sum(len(t.nodes) for t in trees), len(trees)),
        depth=_share(sum(max(len(t.path(k)) for k in range(len(t.nodes))) for t in trees), len(trees)),
        solved=passed[len(simulations)],
        first=passed[1],
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
    questions are all counted. `length` returns the tokens of a history as the policy reads it.
    """
    return total_cost(_tree_cost(tree, length) for tree in trees)


def _tree_cost(tree: Tree, length: Callable[[History], int]) -> Cost:
    lengths = {0: length(tree.root)}
    n_read = lengths[0]
    # The policy does not read an edge that only the trunk passed.
    by_simulations = {edge_id for s in tree.simulations for edge_id in tree.path(s.node)}
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
        tokens_read=max(0, n_read) + tree.tally.critic_read + tree.tally.endpoint_read,
        money=tree.tally.money,
    )


def _share(part: float, whole: int) -> float:
    return part / whole if whole else math.nan
