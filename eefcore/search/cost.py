"""What a search cost, in the units of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from eefcore.search.tree import Place, Tree
from eefcore.storage.cost import Cost, total_cost
from eefcore.types import History


def cost(trees: Iterable[Tree], length: Callable[[History], int]) -> Cost:
    """What growing `trees` took of the environment, read and wrote.

    Computed from the trees, so that growth that was killed and went on costs what it would have. A page is read once
    for all simulations that pass it, as by a policy that keeps what it read; the critic's questions are all read.

    Args:
        length: tokens of a history as the policy reads it.
    """
    return total_cost(_of_tree(tree, length) for tree in trees)


def _of_tree(tree: Tree, length: Callable[[History], int]) -> Cost:
    lengths = {0: length(tree.root)}
    read = lengths[0]
    passed = {
        place for s in tree.simulations for place in tree.path(s.node)
    }  # not by an expert alone, who is not asked
    for k, node in enumerate(tree.nodes):  # parents come before their children
        for i, edge in enumerate(node.edges):
            if Place(k, i) in passed:
                lengths[edge.child] = length(tree.history(edge.child))
                read += lengths[edge.child] - lengths[k] - len(edge.reply.tokens)
    for simulation in tree.simulations:
        written = sum(len(step.tokens) for step in simulation.steps)
        read += length(tree.ended(simulation)) - lengths[simulation.node] - written
    return Cost(
        episodes=tree.attempts,
        env_steps=tree.tally.env_steps,
        tokens_written=tree.tally.tokens_written,
        tokens_read=max(0, read) + tree.tally.critic_read,
    )
