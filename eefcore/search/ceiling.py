"""Measure the ceiling of a search at test time: the share of the tasks that the episode or any that was rehearsed for it won.

A task is lost because nothing that the policy proposed solves it, or because the search chose something else; the ceiling
tells the two apart. It is what a perfect judge would have won with the same proposals: pass@N for the best of N
episodes, and any won simulation for trees.

Rehearsed episodes are judged by the environment's reward when the search has acted, which never learns it. A ceiling is
therefore under the card of searches that saw the reward, and shares no table with what methods won (DESIGN 4.5). Its cost
is counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from eefcore.errors import SimulatorError
from eefcore.evaluation import stats
from eefcore.evaluation.stats import Estimate
from eefcore.search.guard import EnvView
from eefcore.search.tree import Tree
from eefcore.types import State, StopReason, Trajectory


class Ceiling(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether any episode of a task won, the one that was played or one that was rehearsed for it."""

    task_id: str
    solvable: bool | None  # None if the infrastructure spoilt all of them
    rehearsed: int = 0  # rehearsed episodes that were judged
    env_steps: int = (
        0  # actions that the environment answered to judge them; no part of the cost of the search
    )


def ceiling_of_episodes(played: Trajectory, rehearsed: Iterable[Trajectory]) -> Ceiling:
    """Return the ceiling of episodes whose rewards are known: pass@N of N rehearsed ones."""
    judged = [t for t in rehearsed if not t.stop.infrastructure]
    return Ceiling(played.task_id, _any_win(played, [t.win for t in judged]), len(judged))


def ceiling_of_tree(played: Trajectory, tree: Tree, env: EnvView) -> Ceiling:
    """Return the ceiling of the simulations of a tree.

    Where the tree saw no rewards, each different end is done once more in `env`, a view with rewards. A simulation that a
    limit ended is lost. One that the environment fails to judge is left out.

    Raises:
        ReplayMismatch: the environment shows another page than the tree recorded.
    """
    before, wins = env.tally.env_steps, []
    known: dict[State, float] = {}
    for simulation in tree.simulations:
        if simulation.stop is not StopReason.DONE:
            wins.append(False)
            continue
        reward = simulation.reward
        if reward is None:
            end = tree.final_history(simulation)
            try:
                if end.state not in known:
                    env.go_to(end.at(len(end) - 1))
                    known[end.state] = env.step(end.actions[-1]).reward or 0.0
            except SimulatorError:
                continue
            reward = known[end.state]
        wins.append(reward == 1.0)
    return Ceiling(tree.task_id, _any_win(played, wins), len(wins), env.tally.env_steps - before)


def _any_win(played: Trajectory, wins: Sequence[bool]) -> bool | None:
    known = [*wins, *([] if played.stop.infrastructure else [played.win])]
    return any(known) if known else None


def ceiling_rate(*runs: Sequence[Ceiling]) -> Estimate:
    """Return the share of solvable tasks with its interval; one sequence for each seed.

    Raises:
        ValueError: the seeds measured different tasks.
    """
    by_task = [{c.task_id: np.nan if c.solvable is None else float(c.solvable) for c in run} for run in runs]
    if any(seed.keys() != by_task[0].keys() for seed in by_task):
        raise ValueError("ceilings of several seeds are of different tasks; measure all on one panel")
    return stats.rate(np.array([[seed[task] for task in by_task[0]] for seed in by_task]))


def ceiling_summary(ceilings: Sequence[Ceiling]) -> dict[str, float | int]:
    """Return the ceiling of a panel in the keys that evaluations log (results/README.md); nothing if none was measured."""
    if not ceilings:
        return {}
    share = ceiling_rate(ceilings)
    return {
        "ceiling/solvable": share.value,
        "ceiling/solvable_low": share.low,
        "ceiling/solvable_high": share.high,
        "ceiling/n": share.n,
        "ceiling/rehearsed": sum(c.rehearsed for c in ceilings) / len(ceilings),
        "ceiling/env_steps": sum(c.env_steps for c in ceilings),
    }
