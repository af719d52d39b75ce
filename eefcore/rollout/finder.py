"""What a search for beneficial segments asks and is asked: the words that all finders share.

Probe     a simulation to make
Finder    asks round by round for what to simulate next
fewest    the best solution of each task so far
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from eefcore.types import Trajectory


class Probe(NamedTuple):
    """A simulation to make: from s_step of one of the expert trajectories, the `sample`-th from there."""

    expert: int  # its place among the finder's experts
    step: int
    sample: int = 0


class Finder(Protocol):
    """Searches `experts` with at most `budget` simulations."""

    experts: Sequence[Trajectory]
    budget: int

    def ask(self, seen: Sequence[Trajectory]) -> list[Probe]:
        """What to simulate next. `seen` are the simulations so far, s_0's among them: none before the first round."""


def fewest(experts: Iterable[Trajectory], seen: Iterable[Trajectory]) -> dict[str, int]:
    """The expert actions of each task's best solution so far, as get_traj chooses; a task without one is missing."""
    out: dict[str, int] = {}
    for t in (*experts, *seen):
        if t.win:
            out[t.task_id] = min(t.n_expert, out.get(t.task_id, t.n_expert))
    return out
