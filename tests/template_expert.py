"""Scripted experts of the house, imperfect and perfect: what `eefcore.experts.registry` needs, and nothing more.

An expert is a function of the history alone, so that it can act from any state. It marks its deliberate mistakes.
"""

from __future__ import annotations

import random
import re

from eefcore.experts import registry
from eefcore.experts.demonstrate import Demonstrator, demonstrator
from eefcore.experts.registry import Measure, ScriptedExperts
from eefcore.protocols import Benchmark
from eefcore.types import History, Mistake, Trajectory

HASTE = {"strong": 0.35, "weak": 0.6, "perfect": 0.0}
"""The experts by name, and how often each takes the first thing in a room, whatever was asked for."""


class Fetcher:
    """Goes from room to room until it finds the thing; in haste it takes another thing."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self._seed = name, seed

    def act(self, history: History) -> str:
        return self._decide(history)[0]

    def mistakes(self, history: History) -> tuple[Mistake, ...]:
        return (Mistake(len(history), "haste"),) if self._decide(history)[1] else ()

    def _decide(self, history: History) -> tuple[str, bool]:
        """Return a_t, and whether it is a mistake."""
        asked = re.match(r"Fetch the (\w+)\.", history.at(0).observation)[1]
        room, here, doors = re.search(r"In the (\w+): (.+)\. Doors: (.+)\.", history.observation).groups()
        if room == "hall":
            return next(
                f"go {door}" for door in doors.split(", ") if f"go {door}" not in history.actions
            ), False
        first, *_ = things = here.split(", ")
        if asked in things:
            return f"take {asked}", False
        draw = random.Random(f"{self.name} {self._seed} {history.task_id} {len(history)}").random()
        return (f"take {first}", True) if draw < HASTE[self.name] else ("go hall", False)


def make_demonstrator(benchmark: Benchmark, strength: str, *, seed: int) -> Demonstrator:
    return demonstrator(benchmark, Fetcher(strength, seed), price=0.01)


def entered(solution: Trajectory) -> int:
    return sum(a.startswith("go ") and a != "go hall" for a in solution.actions)


ROOMS = Measure(
    "rooms", "rooms of a solution", "the rooms that a solution enters", "the rooms entered", entered
)


def register() -> None:
    """Register these experts for benchmarks whose card is called `house`."""
    registry.register_experts("house", ScriptedExperts(tuple(HASTE), make_demonstrator, measures=(ROOMS,)))
