"""The scripted experts of the booking site as a run and its reports use them."""

from __future__ import annotations

from eefcore.envs.booking.benchmark import BookingBenchmark
from eefcore.experts import demonstrate
from eefcore.experts.booking.concierge import Concierge
from eefcore.experts.demonstrate import Demonstrator
from eefcore.experts.registry import PERFECT, ScriptedExperts

PRICE = 0.01
"""Dollars that an action of it costs, a nominal price."""


def task_kinds(benchmark: BookingBenchmark) -> dict[str, str]:
    """Return the kind of each task: book, change or cancel."""
    return {id: task.kind for id, task in benchmark.goals.items()}


def demonstrator(benchmark: BookingBenchmark, strength: str, *, seed: int = 0) -> Demonstrator:
    """Return the expert of that strength with its price; `perfect` draws nothing from a seed."""
    expert = Concierge(benchmark.goals, benchmark.worlds, name=strength)
    return demonstrate.demonstrator(benchmark, expert, price=PRICE)


EXPERTS = ScriptedExperts(strengths=(PERFECT,), demonstrator=demonstrator, kinds=task_kinds)
"""The scripted experts of the booking site."""
