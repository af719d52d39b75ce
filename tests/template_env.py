"""A small house as an environment of your own: copy it, and put your world in its place (docs/howto/environment.md).

`eefcore` knows nothing of it. A params file names it, `benchmark: template_env:load`, with this folder on PYTHONPATH;
`template_expert` is the expert that comes with it, and `test_custom_environment` what both are held against.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

import template_expert

from eefcore.envs import panel_sizes
from eefcore.errors import EpisodeOver, UnknownTask
from eefcore.evaluation.navigation import matching
from eefcore.protocols import Benchmark
from eefcore.types import Card, History, State, Transition

ROOMS = ("kitchen", "cellar", "attic", "garden")
THINGS = ("lamp", "rope", "spoon", "candle", "coin", "map", "brush", "key")


class Task(NamedTuple):
    """What to fetch, and what lies in each room."""

    thing: str
    rooms: Mapping[str, tuple[str, ...]]

    @property
    def id(self) -> str:
        """A hash of the content: equal tasks are one task, in every split and on every machine."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

    @property
    def instruction(self) -> str:
        """What is asked for."""
        return f"Fetch the {self.thing}."


class House:
    """`go <room>` and `take <thing>`, from a hall with a door to every room. Taking anything ends the episode."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._tasks, self._state, self._over = tasks, State(""), True

    def reset(self, task_id: str) -> str:
        if task_id not in self._tasks:
            raise UnknownTask(f"no task {task_id!r} among {len(self._tasks)} of the house")
        self._task, self._room = self._tasks[task_id], "hall"
        self._state, self._over = State(task_id), False
        return f"{self._task.instruction}\n{self._look()}"

    def step(self, action: str) -> Transition:
        if self._over:
            raise EpisodeOver("nothing can be done before the start or after the end; call reset or restore")
        self._state = State(self._state.task_id, (*self._state.actions, action))
        verb, _, what = action.partition(" ")
        if verb == "go" and what in self._doors():
            self._room = what
            return Transition(self._look())
        if verb == "take" and what in self._task.rooms.get(self._room, ()):
            self._over = True
            return Transition(f"You took the {what}.", float(what == self._task.thing), True)
        return Transition("That can't be done here.")

    def snapshot(self) -> State:
        return self._state

    def restore(self, state: State) -> str:
        seen = self.reset(state.task_id)
        for action in state.actions:
            seen = self.step(action).observation
        return seen

    def _doors(self) -> tuple[str, ...]:
        return ROOMS if self._room == "hall" else ("hall",)

    def _look(self) -> str:
        here = ", ".join(self._task.rooms.get(self._room, ())) or "nothing"
        return f"In the {self._room}: {here}. Doors: {', '.join(self._doors())}."


def corrected(history: History) -> list[int]:
    """A skill that is told by what was seen: what is done right after a refusal, and is not refused."""
    seen = [*(step.observation for step in history.steps), history.observation]
    refused = [observation.startswith("That can't") for observation in seen]
    return [i for i in range(len(history)) if refused[i] and not refused[i + 1]]


class Houses:
    """The tasks, their panels, and what is counted: a world as the stages see it."""

    max_turns = 12

    def __init__(self, sizes: tuple[int, int, int], seed: int) -> None:
        rng, tasks = random.Random(f"house {seed}"), {}
        while len(tasks) < sum(sizes):
            things = rng.sample(THINGS, len(THINGS))
            rooms = {room: (things[2 * i], things[2 * i + 1]) for i, room in enumerate(ROOMS)}
            task = Task(rng.choice(things), rooms)
            tasks[task.id] = task
        ids = iter(tasks)
        panels = zip(("train", "dev", "test"), sizes, strict=True)
        self._tasks, self._splits = tasks, {split: tuple(islice(ids, n)) for split, n in panels}
        self.skills = {"Return": matching("^go hall$"), "Corrected": corrected}

    @property
    def card(self) -> Card:
        tasks = hashlib.sha256("".join(self._tasks).encode()).hexdigest()[:8]
        return Card(
            "house", {"version": 1, "tasks": tasks}
        )  # raise the version when the world answers otherwise

    def make(self) -> House:
        return House(self._tasks)

    def tasks(self, split: str) -> tuple[str, ...]:
        return self._splits[split]

    def instruction(self, task_id: str) -> str:
        return self._tasks[task_id].instruction


def load(*, data: str, sizes: str, seed: int) -> Benchmark:
    """What `benchmark: template_env:load` gives the stages; `data` is a folder, and a house needs none."""
    template_expert.register()
    return Houses(panel_sizes(sizes), seed)
