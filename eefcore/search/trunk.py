"""EEF inside the tree: a failed expert's trajectory as the main branch of a search (ours; no paper has it).

Its actions are edges before the tree grows, each with one visit and the return that the expert came to. Half of the
simulations begin at s_0, the others at the states that EEF explores from, in turn. What they come to is backed up to s_0.

Node pairs are of actions that the policy tried. That the expert failed after an action makes it no rejected one: nearly every
failure ends with a purchase, and a policy that was trained on such pairs did not buy any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from eefcore.errors import ParamsError
from eefcore.protocols import Reply
from eefcore.search import mcts
from eefcore.search.mcts import Landing, Proposal
from eefcore.search.settings import Signal
from eefcore.search.tree import Place, Simulation, Tree, copied
from eefcore.types import StopReason, Trajectory


def laid(tree: Tree, expert: Trajectory, states: Sequence[int]) -> Tree:
    """A tree at the expert's s_0 that has not grown, with its trajectory as trunk; every other simulation begins at an s_i of `states`.

    The expert's words stand in the tree without tokens: their likelihood under the policy is computed when it is needed.

    Raises:
        ParamsError: the tree has grown, or stands elsewhere, or may see no reward.
    """
    if len(tree.nodes) > 1 or tree.signal is not Signal.REWARD or tree.root != expert.history.at(0):
        raise ParamsError(
            f"{tree.task_id}: a trunk is laid at s_0 of the expert's own task, before the tree grows, and its reward is seen; "
            f"got {len(tree.nodes)} nodes, signal {tree.signal.value}, an expert on {expert.task_id}"
        )
    tree, path, node = copied(tree), [], 0
    for i, step in enumerate(expert.history.steps, start=1):
        over = i == len(expert) and expert.stop is StopReason.DONE
        landing = Landing(expert.history.at(i).observation, over, expert.reward if over else None)
        mcts.expand(tree, node, [Proposal(Reply(step.action), landing, count=0)])
        path.append(Place(node, 0))
        node = tree.edge(path[-1]).child
    value = mcts.worth(expert.reward, tree.settings) if expert.stop is StopReason.DONE else 0.0
    own = expert.history
    tree.trunk = Simulation(node, own.observation, expert.stop, value, (), expert.reward, given=len(own))
    mcts.visit(tree, path, tree.trunk)
    begin = [i for i in states if i < min(len(own), tree.settings.max_turns)]
    tree.starts = tuple(s for i in begin for s in (0, i))
    return tree
