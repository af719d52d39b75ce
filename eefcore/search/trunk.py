"""EEF inside the tree: a failed expert trajectory becomes the main branch of a search tree (ours; no paper has it).

Its actions are edges before the tree grows, each with one visit and the expert's return. Half of the simulations begin
at s_0, the others in turn at the states that EEF explores from. All returns are backed up to s_0.

Node pairs are made only of actions that the policy tried. An action is not rejected because the expert failed after it:
nearly every failure ends with a purchase, and a policy that was trained on such pairs stopped buying.
"""

from __future__ import annotations

from collections.abc import Sequence

from eefcore.errors import ParamsError
from eefcore.protocols import Reply
from eefcore.search import mcts
from eefcore.search.mcts import Proposal, StepResult
from eefcore.search.settings import Signal
from eefcore.search.tree import EdgeId, Simulation, Tree, copy_tree
from eefcore.types import StopReason, Trajectory


def add_trunk(tree: Tree, expert: Trajectory, states: Sequence[int]) -> Tree:
    """Return a copy of `tree` with the expert's trajectory as trunk; every other simulation begins at an s_i of `states`.

    The expert's actions stand in the tree without tokens: their likelihood under the policy is computed when needed.

    Raises:
        ParamsError: the tree has grown, has another root than the expert's s_0, or may see no reward.
    """
    if len(tree.nodes) > 1 or tree.signal is not Signal.REWARD or tree.root != expert.history.at(0):
        raise ParamsError(
            f"{tree.task_id}: a trunk needs a tree at s_0 of the expert's own task that has not grown and sees rewards; "
            f"got {len(tree.nodes)} nodes, signal {tree.signal.value}, an expert on {expert.task_id}; "
            "start a new tree on the expert's task with signal reward"
        )
    tree, path, node = copy_tree(tree), [], 0
    for i, step in enumerate(expert.history.steps, start=1):
        done = i == len(expert) and expert.stop is StopReason.DONE
        result = StepResult(expert.history.at(i).observation, done, expert.reward if done else None)
        mcts.expand(tree, node, [Proposal(Reply(step.action), result, count=0)])
        path.append(EdgeId(node, 0))
        node = tree.edge(path[-1]).child
    value = mcts.episode_return(expert.reward, tree.settings) if expert.stop is StopReason.DONE else 0.0
    history = expert.history
    tree.trunk = Simulation(
        node, history.observation, expert.stop, value, (), expert.reward, given=len(history)
    )
    mcts.update_edges(tree, path, tree.trunk)
    inner = [i for i in states if i < min(len(history), tree.settings.max_turns)]
    tree.starts = tuple(s for i in inner for s in (0, i))
    return tree
