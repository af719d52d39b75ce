"""The scripted experts of ScienceWorld as a run and its reports use them: kinds of tasks, and the rooms of a solution."""

from __future__ import annotations

from eefcore.envs.sciworld import SciWorldBenchmark
from eefcore.envs.sciworld.env import simulator_command
from eefcore.experts import demonstrate
from eefcore.experts.demonstrate import Demonstrator, find_strength
from eefcore.experts.registry import Measure, ScriptedExperts
from eefcore.experts.sciworld.base_skills import base_skill_examples
from eefcore.experts.sciworld.phrases import PHRASES
from eefcore.experts.sciworld.scientist import STRENGTHS, MistakeRates, make_scientist
from eefcore.experts.sciworld.thoughts import destination
from eefcore.types import Trajectory


def task_kinds(benchmark: SciWorldBenchmark) -> dict[str, str]:
    """Return the simulator's kind of each task."""
    return {task_id: task.kind for task_id, task in benchmark.goals.items()}


def demonstrator(benchmark: SciWorldBenchmark, strength: str, *, seed: int = 0) -> Demonstrator:
    """Return the expert of that strength with its price; it gives up at the end of its plan."""
    expert = make_scientist(benchmark, strength, seed=seed)
    price = find_strength(strength, STRENGTHS).price
    return demonstrate.demonstrator(benchmark, expert, price=price, gives_up=expert.gives_up)


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
    rates=MistakeRates._fields,
    settings=lambda name: find_strength(name, STRENGTHS).settings(),
)
"""The scripted experts of ScienceWorld."""
