"""An environment of your own in one file, a small house: copy it, and put your world in its place.

`eefcore` knows nothing of it. A params file names it, `benchmark: template_env:load`, with this folder on PYTHONPATH.
Its scripted expert is in `template_expert`, and `test_custom_environment` shows the contract tests that both pass
(docs/howto/environment.md).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

import template_expert

from eefcore.envs import PanelSizes, panel_sizes
from eefcore.errors import EpisodeOver, UnknownTask
from eefcore.evaluation.navigation import skill_from_pattern
from eefcore.protocols import Benchmark
from eefcore.types import Card, History, State, Transition

ROOMS = ("kitchen", "cellar", "attic", "garden")
THINGS = ("lamp", "rope", "spoon", "candle", "coin", "map", "brush", "key")


class Task(NamedTuple):
    """A task: the thing to fetch, and the things in each room."""

    thing: str
    rooms: Mapping[str, tuple[str, ...]]

    @property
    def id(self) -> str:
        """The task id, a hash of the content: equal tasks have equal ids, in every split and on every machine."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

    @property
    def instruction(self) -> str:
        """What the user asks for, in words."""
        return f"Fetch the {self.thing}."


class House:
    """One episode: `go <room>` and `take <thing>`, from a hall with doors to all rooms. Taking a thing ends the episode."""

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
        observation = self.reset(state.task_id)
        for action in state.actions:
            observation = self.step(action).observation
        return observation

    def _doors(self) -> tuple[str, ...]:
        return ROOMS if self._room == "hall" else ("hall",)

    def _look(self) -> str:
        here = ", ".join(self._task.rooms.get(self._room, ())) or "nothing"
        return f"In the {self._room}: {here}. Doors: {', '.join(self._doors())}."


def corrected(history: History) -> list[int]:
    """Return the actions that follow a refused action and are accepted: a skill that depends on observations."""
    observations = [*(step.observation for step in history.steps), history.observation]
    refused = [observation.startswith("That can't") for observation in observations]
    return [i for i in range(len(history)) if refused[i] and not refused[i + 1]]


class Houses:
    """The benchmark: tasks, their splits, and the navigation skills that are counted."""

    max_turns = 12

    def __init__(self, sizes: PanelSizes, seed: int) -> None:
        rng, tasks = random.Random(f"house {seed}"), {}
        while len(tasks) < sum(sizes):
            things = rng.sample(THINGS, len(THINGS))
            rooms = {room: (things[2 * i], things[2 * i + 1]) for i, room in enumerate(ROOMS)}
            task = Task(rng.choice(things), rooms)
            tasks[task.id] = task
        ids = iter(tasks)
        splits = zip(("train", "dev", "test"), sizes, strict=True)
        self._tasks, self._splits = tasks, {split: tuple(islice(ids, n)) for split, n in splits}
        self.skills = {"Return": skill_from_pattern("^go hall$"), "Corrected": corrected}

    @property
    def card(self) -> Card:
        tasks = hashlib.sha256("".join(self._tasks).encode()).hexdigest()[:8]
        # Raise the version when the environment answers differently: results of two versions are not compared.
        return Card("house", {"version": 1, "tasks": tasks})

    def make(self) -> House:
        return House(self._tasks)

    def tasks(self, split: str) -> tuple[str, ...]:
        return self._splits[split]

    def instruction(self, task_id: str) -> str:
        return self._tasks[task_id].instruction


def load(*, data: str, sizes: str, seed: int) -> Benchmark:
    """Load the benchmark that `benchmark: template_env:load` names; `data` is a folder of files, which a house does not need."""
    template_expert.register()
    return Houses(panel_sizes(sizes), seed)
