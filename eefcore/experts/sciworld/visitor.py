"""Somebody in ScienceWorld's house who plays a task, partly at random, partly by a plan, and thinks aloud.

Visitor   a dialogue that grows: what it does, and the skill's example that it becomes
"""

from __future__ import annotations

import random

from eefcore.experts.sciworld.scene import HOUSE, Scene, scene, words
from eefcore.experts.sciworld.thoughts import Plan, decided, nav, thought
from eefcore.protocols import Environment
from eefcore.types import Example, History, StopReason, Trajectory


class Visitor:
    """A task being played from its start.

    Attributes:
        history: h_t, so far.
        rng: of everything that it does at random.
        known: names of things listed in any task so far; it adds what it sees at the start.
    """

    def __init__(self, env: Environment, task: str, rng: random.Random, known: set[str]) -> None:
        self.rng, self.known, self._env = rng, known, env
        self.begin(task)
        known.update(self.scene.things)

    def begin(self, task: str) -> None:
        """The task from its start, whatever was done before."""
        self.history = History(task, self._env.reset(task))
        self.reward, self.done = 0.0, False

    @property
    def scene(self) -> Scene:
        """What it sees."""
        return scene(self.history)

    @property
    def been(self) -> set[str]:
        """The rooms it has been in, this one among them."""
        return {scene(self.history.at(i)).room for i in range(len(self.history) + 1)}

    def tell(self, action: str) -> None:
        """An action, a thought in it; nothing once the episode is over."""
        if not self.done:
            seen, self.reward, self.done = self._env.step(action)
            self.history = self.history.then(action, seen)

    def do(self, why: str, told: str) -> None:
        """A command, and why, if there is a why."""
        self.tell(words(decided(*([why] if why else []), told=told), told))

    def follow(self, plan: Plan, start: int, end: int) -> None:
        """What the plan has from one step to before another."""
        for i, told in enumerate(plan.actions[start:end], start):
            self.tell(words(thought(plan, i, told, self.scene), told))

    def come(self, plan: Plan) -> None:
        """To a room where there is something to do, by the plan."""
        starts = [
            i
            for i, told in enumerate(plan.actions)
            if not nav(told) and not told.startswith("open ") and (i == 0 or nav(plan.actions[i - 1]))
        ]
        self.follow(plan, 0, self.rng.choice(starts or [0]))

    def wander(self) -> None:
        """Through none, one or two doors."""
        for _ in range(self.rng.choice((0, 0, 1, 1, 2))):
            self.hop()

    def hop(self) -> bool:
        """Through any door but the one that was come by; False where there is no other."""
        now = self.scene
        rooms = [r for r in HOUSE[now.room] if r not in self.been]
        if not rooms:
            return False
        room = self.rng.choice(rooms)
        if not now.is_open(room):
            self.do(f"I go to the {room}. The door is closed.", f"open door to {room}")
        self.do(f"I go to the {room}.", f"go to {room}")
        return True

    def anything(self) -> str:
        """Any sensible command here, not one that would help; no focus that could end the episode."""
        now = self.scene
        room = self.rng.choice(HOUSE[now.room])
        told = [f"open door to {room}", f"go to {room}", "wait1"]
        if now.things:
            thing, other = self.rng.choice(now.things), self.rng.choice(now.things)
            told += [f"{verb} {thing}" for verb in ("open", "pick up", "examine", "activate", "mix")]
            told += [f"move {thing} to {other}", f"pour {thing} in {other}"]
        return self.rng.choice(told)

    def example(self, first: int, *, source: str) -> Example:
        """What was played, of which a_first and what follows is trained."""
        trajectory = Trajectory(
            history=self.history,
            reward=self.reward,
            n_expert=first,
            source=source,
            stop=StopReason.DONE if self.done else StopReason.TURN_LIMIT,
        )
        return Example(trajectory, first)
