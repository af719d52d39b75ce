"""What is scripted for ScienceWorld: experts by strength, kinds of tasks, the rooms that a solution goes through.

strong    stands where GPT-4 stands in EEF's ScienceWorld 2k (70 % wins, 20 actions)
weak      half of the tasks, thirty times cheaper
perfect   the simulator's own rule-based agent, thinking aloud (99 %)
naive     does what is to be done in the room it is in, and opens nothing; what the tiny base knows
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from eefcore.envs.sciworld import SciWorldBenchmark
from eefcore.envs.sciworld.env import simulator_command
from eefcore.errors import DataError
from eefcore.experts.allocation import Offer
from eefcore.experts.players import hired
from eefcore.experts.registry import Measure, Scripts, Shown
from eefcore.experts.sciworld import skills
from eefcore.experts.sciworld.gold import Golds
from eefcore.experts.sciworld.phrases import PHRASES
from eefcore.experts.sciworld.scientist import EXPERT, NAIVE, NONE, Habits, Mistakes, Scientist
from eefcore.experts.sciworld.thoughts import Plan, nav, plan
from eefcore.types import Trajectory


class Strength(NamedTuple):
    """An expert's habits, its mistakes, and the dollars an action of it costs (a nominal price)."""

    habits: Habits
    mistakes: Mistakes
    dollars: float


STRENGTHS = {
    "strong": Strength(EXPERT, Mistakes(drop=0.03, replace=0.03, insert=0.03, stray=1.0), 0.03),
    "weak": Strength(EXPERT, Mistakes(drop=0.05, replace=0.05, insert=0.05, stray=1.0), 0.001),
    "perfect": Strength(Habits(opens=True, notices=1.0), NONE, 0.0),
    "naive": Strength(NAIVE, NONE, 0.0),
}


def scientist(benchmark: SciWorldBenchmark, strength: str, *, seed: int = 0) -> Scientist:
    """The scripted scientist of that strength for this benchmark's tasks."""
    if strength not in STRENGTHS:
        raise DataError(f"no ScienceWorld expert {strength!r}; choose one of {', '.join(STRENGTHS)}")
    habits, mistakes, _ = STRENGTHS[strength]
    return Scientist(Plans(benchmark), name=strength, habits=habits, mistakes=mistakes, seed=seed)


class Plans(dict[str, Plan]):
    """Task id to the way through it, worked out when first asked."""

    def __init__(self, benchmark: SciWorldBenchmark) -> None:
        super().__init__()
        self._benchmark, self._golds = benchmark, Golds(benchmark)

    def __missing__(self, task_id: str) -> Plan:
        self[task_id] = plan(self._benchmark.goal(task_id).kind, self._golds[task_id])
        return self[task_id]


def kinds(benchmark: SciWorldBenchmark) -> dict[str, str]:
    """Task id to the simulator's kind of task."""
    return {task_id: task.kind for task_id, task in benchmark.goals.items()}


def offer(benchmark: SciWorldBenchmark, strength: str, *, seed: int = 0) -> Offer:
    """The expert of that strength for hire, at its price an action; it gives up at the end of its plan."""
    expert = scientist(benchmark, strength, seed=seed)
    return hired(benchmark, expert, dollars=STRENGTHS[strength].dollars, gives_up=expert.gives_up)


def show(benchmark: SciWorldBenchmark, tasks: Iterable[str], *, n: int, seed: int) -> Iterator[Shown]:
    """`n` skills on random ones of `tasks`, by the naive scientist."""
    return skills.show(benchmark, scientist(benchmark, "naive"), [*tasks], n=n, seed=seed)


def rooms(solution: Trajectory) -> int:
    """How often a solution goes to another room."""
    return sum(
        bool(nav(told)) and told.startswith("go ") for told in map(simulator_command, solution.actions)
    )


SCRIPTS = Scripts(
    strengths=tuple(STRENGTHS),
    offer=offer,
    kinds=kinds,
    measures=(
        Measure(
            "rooms",
            "rooms on the way",
            "the rooms that a solution goes to",
            "the number of rooms",
            rooms,
        ),
    ),
    show=show,
    phrases=PHRASES,
)
