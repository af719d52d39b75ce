"""Search at test time: grow a tree, do what it advises, go on growing from there (Agent Q §5.3).

    until every episode is over: `simulations` more for each tree, from where it stands; then one action for good

What was searched below an action that is taken is kept. Which signal the search used is the trees' own (`Signal`);
the rewards that come back are those of the environment acted in, which a search by the critic never saw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from eefcore.errors import ReplayMismatch
from eefcore.protocols import Environment
from eefcore.rollout.rollout import restore
from eefcore.search import mcts
from eefcore.search.guard import REFUSED
from eefcore.search.tree import Tree, copied
from eefcore.types import StopReason, Trajectory


class Played(NamedTuple):
    """An episode played by search, and the tree it left."""

    trajectory: Trajectory
    tree: Tree


def play(
    trees: Sequence[Tree],
    grown: Callable[[list[Tree], int], list[Tree]],
    make_live: Callable[[], Environment],
    *,
    simulations: int,
    by: str = "visits",
) -> list[Played]:
    """An episode from the root of each tree, all played side by side.

    Args:
        grown: the trees, grown to that many simulations each (`growth.grow`).
        make_live: an environment to act in for good; a `guard.Guard` with a human where that can't be undone.
        simulations: before each action.
        by: which action is taken (`mcts.choose`).

    Raises:
        ReplayMismatch: the live environment does not answer as the searched one did.
    """
    episodes = [_Episode(tree, make_live()) for tree in trees]
    turns = 0
    while going := [e for e in episodes if e.stop is None]:
        turns += 1
        for episode, tree in zip(going, grown([e.tree for e in going], turns * simulations), strict=True):
            episode.act(tree, by)
    return [Played(e.trajectory, e.tree) for e in episodes]


class _Episode:
    """A live environment and the tree that advises in it."""

    def __init__(self, tree: Tree, live: Environment) -> None:
        self.tree, self.stop, self._reward = copied(tree), tree.nodes[tree.at].stop, 0.0
        self._history, self._live = tree.history(tree.at), live
        restore(live, self._history)

    def act(self, tree: Tree, by: str) -> None:
        """Do what `tree` advises; the episode is over if it advises nothing, or the user does not agree."""
        self.tree = tree
        here = tree.nodes[tree.at]
        i = mcts.choose(tree, by)
        if i is None:
            self.stop = here.stop or StopReason.MODEL_FAILURE  # an end is told, all else was lost on the way
            return
        edge = here.edges[i]
        expected, reply = tree.nodes[edge.child], edge.reply
        seen, reward, done = self._live.step(reply.action)
        self._history = self._history.then(reply.action, seen, reply.tokens, reply.logps)
        if seen == REFUSED:
            self.stop = StopReason.DONE
            return
        over = expected.stop is StopReason.DONE
        if done != over or (not over and seen != expected.observation):
            raise ReplayMismatch(
                f"{tree.task_id}: after {len(self._history)} actions the live environment shows {seen!r}, "
                f"the search {expected.observation!r}; is it the environment that was searched?"
            )
        tree.at, self.stop, self._reward = edge.child, expected.stop, reward

    @property
    def trajectory(self) -> Trajectory:
        """What was done for good."""
        assert self.stop is not None  # asked when all are over
        return Trajectory(
            history=self._history,
            reward=self._reward,
            n_expert=len(self.tree.root),
            source=f"{self.tree.source}+search",
            stop=self.stop,
            temperature=self.tree.settings.temperature,
        )
