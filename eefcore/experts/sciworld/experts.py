"""The scripted experts of ScienceWorld by strength, the kinds of its tasks, and the rooms that a solution goes through.

strong    stands where GPT-4 stands in EEF's ScienceWorld 2k (70 % wins, 20 actions)
weak      wins half of the tasks, thirty times cheaper
perfect   the simulator's own rule-based agent, thinking aloud (99 %)
naive     does what is to be done in the room it is in, and opens nothing; what the tiny base knows
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from eefcore.envs.sciworld import SciWorldBenchmark
from eefcore.envs.sciworld.env import simulator_command
from eefcore.errors import DataError
from eefcore.experts import demonstrate
from eefcore.experts.demonstrate import Demonstrator
from eefcore.experts.registry import Measure, ScriptedExperts, SkillExample
from eefcore.experts.sciworld import base_skills
from eefcore.experts.sciworld.gold import GoldPaths
from eefcore.experts.sciworld.phrases import PHRASES
from eefcore.experts.sciworld.scientist import (
    EXPERT_HABITS,
    NAIVE_HABITS,
    NO_MISTAKES,
    Habits,
    MistakeRates,
    Scientist,
)
from eefcore.experts.sciworld.thoughts import Plan, destination, plan_of
from eefcore.types import Trajectory


class Strength(NamedTuple):
    """An expert's habits, the rates of its mistakes, and the dollars an action of it costs (a nominal price)."""

    habits: Habits
    rates: MistakeRates
    price: float


STRENGTHS = {
    "strong": Strength(
        EXPERT_HABITS, MistakeRates(drop=0.03, replace=0.03, insert=0.03, growth_per_repair=1.0), 0.03
    ),
    "weak": Strength(
        EXPERT_HABITS, MistakeRates(drop=0.05, replace=0.05, insert=0.05, growth_per_repair=1.0), 0.001
    ),
    "perfect": Strength(Habits(opens=True, notices=1.0), NO_MISTAKES, 0.0),
    "naive": Strength(NAIVE_HABITS, NO_MISTAKES, 0.0),
}


def make_scientist(benchmark: SciWorldBenchmark, strength: str, *, seed: int = 0) -> Scientist:
    """Return the scripted scientist of that strength for this benchmark's tasks.

    Raises:
        DataError: there is no such strength.
    """
    if strength not in STRENGTHS:
        raise DataError(f"no ScienceWorld expert {strength!r}; choose one of {', '.join(STRENGTHS)}")
    habits, rates, _ = STRENGTHS[strength]
    return Scientist(Plans(benchmark), name=strength, habits=habits, rates=rates, seed=seed)


class Plans(dict[str, Plan]):
    """Task id to the plan of the task, worked out when it is first needed."""

    def __init__(self, benchmark: SciWorldBenchmark) -> None:
        super().__init__()
        self._benchmark, self._gold_paths = benchmark, GoldPaths(benchmark)

    def __missing__(self, task_id: str) -> Plan:
        self[task_id] = plan_of(self._benchmark.goal(task_id).kind, self._gold_paths[task_id])
        return self[task_id]


def task_kinds(benchmark: SciWorldBenchmark) -> dict[str, str]:
    """Return the simulator's kind of each task."""
    return {task_id: task.kind for task_id, task in benchmark.goals.items()}


def demonstrator(benchmark: SciWorldBenchmark, strength: str, *, seed: int = 0) -> Demonstrator:
    """Return the expert of that strength with its price; it gives up at the end of its plan."""
    expert = make_scientist(benchmark, strength, seed=seed)
    price = STRENGTHS[strength].price
    return demonstrate.demonstrator(benchmark, expert, price=price, gives_up=expert.gives_up)


def base_skill_examples(
    benchmark: SciWorldBenchmark, tasks: Iterable[str], *, n: int, seed: int
) -> Iterator[SkillExample]:
    """Return `n` examples of base skills on random ones of `tasks`, by the naive scientist."""
    naive = make_scientist(benchmark, "naive")
    return base_skills.base_skill_examples(benchmark, naive, [*tasks], n=n, seed=seed)


def count_rooms(solution: Trajectory) -> int:
    """Return how often a solution goes to another room."""
    return sum(
        bool(destination(command)) and command.startswith("go ")
        for command in map(simulator_command, solution.actions)
    )


EXPERTS = ScriptedExperts(
    strengths=tuple(STRENGTHS),
    demonstrator=demonstrator,
    kinds=task_kinds,
    measures=(
        Measure(
            name="rooms",
            title="rooms on the way",
            phrase="the rooms that a solution goes to",
            demand="the number of rooms",
            value=count_rooms,
        ),
    ),
    base_skills=base_skill_examples,
    phrases=PHRASES,
)
"""The scripted experts of ScienceWorld."""
