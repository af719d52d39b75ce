"""The scripted experts of the booking site as a run and its reports use them."""

from __future__ import annotations

from eefcore.envs.booking.benchmark import BookingBenchmark
from eefcore.experts import demonstrate
from eefcore.experts.booking.base_skills import PHRASES, base_skill_examples
from eefcore.experts.booking.concierge import Concierge
from eefcore.experts.booking.mistakes import STRENGTHS, MistakeRates
from eefcore.experts.demonstrate import Demonstrator, find_strength
from eefcore.experts.registry import ScriptedExperts


def task_kinds(benchmark: BookingBenchmark) -> dict[str, str]:
    """Return the kind of each task: book, change or cancel."""
    return {id: task.kind for id, task in benchmark.goals.items()}


def make_concierge(benchmark: BookingBenchmark, strength: str, *, seed: int = 0) -> Concierge:
    """Return the scripted concierge of that strength for this benchmark's tasks, as in `strong` or `strong?give_up=0.2`.

    Raises:
        ParamsError: there is no such strength, or no such rate.
    """
    habits, rates, _ = find_strength(strength, STRENGTHS)
    return Concierge(benchmark.goals, benchmark.worlds, name=strength, habits=habits, rates=rates, seed=seed)


def demonstrator(benchmark: BookingBenchmark, strength: str, *, seed: int = 0) -> Demonstrator:
    """Return the expert of that strength with its price."""
    expert = make_concierge(benchmark, strength, seed=seed)
    return demonstrate.demonstrator(benchmark, expert, price=find_strength(strength, STRENGTHS).price)


EXPERTS = ScriptedExperts(
    strengths=tuple(STRENGTHS),
    demonstrator=demonstrator,
    kinds=task_kinds,
    base_skills=base_skill_examples,
    phrases=PHRASES,
    rates=MistakeRates._fields,
    settings=lambda name: find_strength(name, STRENGTHS).settings(),
)
"""The scripted experts of the booking site."""
