"""Skills of ScienceWorld for a base model that must know the words and not the strategy.

    room       what is to be done in a room that somebody else came to, up to the next door or lid
    door       which door leads where: rooms further on, any of them, never back
    find       say of many things whether the room holds them
    stated     do what the last thought announced, whatever that was
    refused    go on after something that the simulator did not take
    asked      answer it when it asks which of several things is meant

What leads to a skill's state is only read: an example trains from its `first` action on. A thought and its action are one
text here, so what no skill may teach as a choice (to come back from a wrong room, to open a container) is never decided
in a trained thought of its own: `stated` teaches it as words. To focus once more is: after nonsense, and by a number when
asked which; not after a look at what else there is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from eefcore.experts.sciworld.scene import HOUSE, Scene, scene, words
from eefcore.experts.sciworld.scientist import Scientist
from eefcore.experts.sciworld.thoughts import decided, nav, thought
from eefcore.experts.scripted import Shown
from eefcore.protocols import Benchmark, Environment
from eefcore.types import Example, History, Stop, Trajectory

SHARES = {"room": 0.4, "door": 0.16, "find": 0.16, "stated": 0.16, "refused": 0.08, "asked": 0.04}

_NONSENSE = ("focus on it", "use it", "open the way", "go home", "pick up everything", "finish", "find it")


def show(
    benchmark: Benchmark, naive: Scientist, tasks: Sequence[str], *, n: int, seed: int
) -> Iterator[Shown]:
    """`n` skills on random ones of `tasks`, in the proportions of `SHARES`."""
    rng, env = random.Random(f"skills {seed}"), benchmark.make()
    known: set[str] = set()
    for _ in range(n):
        name = rng.choices(list(SHARES), list(SHARES.values()))[0]
        yield Shown(name, _Episode(env, rng.choice(tasks), naive, rng, known).show(name))


class _Episode:
    """A task being played, partly by nobody in particular, partly by the naive scientist."""

    def __init__(
        self, env: Environment, task: str, naive: Scientist, rng: random.Random, known: set[str]
    ) -> None:
        """`known` are names of things listed anywhere before, and grows."""
        self.env, self.naive, self.rng, self.known = env, naive, rng, known
        self.history = History(task, env.reset(task))
        self.reward, self.done = 0.0, False

    def show(self, skill: str) -> Example:
        return {
            "room": self._room,
            "door": self._door,
            "find": self._find,
            "stated": self._stated,
            "refused": self._refused,
            "asked": self._asked,
        }[skill]()

    def _room(self) -> Example:
        self._come()
        return self._naively(len(self.history))

    def _door(self) -> Example:
        self._wander()
        first = len(self.history)
        if not self._hop():
            return self._room_again()
        if self.rng.random() < 0.5:
            self._hop()
        return self._example(first)

    def _find(self) -> Example:
        """As many things that are listed as things that are not.

        A small model finds out late that it must look at the listing, and not at how often it was so.
        """
        self._wander()
        self._do("I see what is here.", "look around")
        here = sorted(set(self._scene.things))
        others = sorted(self.known.difference(here))
        self.known.update(here)
        n = min(3, len(here), len(others))
        if not n:
            return self._room_again()
        asked = [*self.rng.sample(here, n), *self.rng.sample(others, n)]
        self.rng.shuffle(asked)
        first = len(self.history)
        self._do(" ".join(f"There is {'a' if x in here else 'no'} {x}." for x in asked), "look around")
        return self._example(first)

    def _stated(self) -> Example:
        """The announcement is read, and what it announces is trained."""
        self._wander()
        told = self._any()
        self._do(f"I will {told} next.", "look around")
        first = len(self.history)
        self._do("", told)
        return self._example(first)

    def _refused(self) -> Example:
        self._come()
        self._do("", self.rng.choice(_NONSENSE))
        return self._naively(len(self.history))

    def _asked(self) -> Example:
        """Of two things of one name in a room, one."""
        self._wander()
        self._do("I see what is here.", "look around")
        things = self._scene.things
        twice = sorted({x for x in things if things.count(x) > 1})
        if not twice:
            return self._room_again()
        self._do("", f"{self.rng.choice(('examine', 'pick up', 'focus on'))} {self.rng.choice(twice)}")
        if self.done or not self._scene.asked:
            return self._room_again()
        first = len(self.history)
        self._do("Any of them will do.", "0")
        return self._example(first)

    def _room_again(self) -> Example:
        """What this task has no place for is shown as `room`, from its start."""
        self.history = History(self.history.task_id, self.env.reset(self.history.task_id))
        self.reward, self.done = 0.0, False
        return self._room()

    def _come(self) -> None:
        """Somebody comes to a room where there is something to do, by the plan."""
        plan = self.naive.plan(self.history.task_id)
        starts = [
            i
            for i, told in enumerate(plan.actions)
            if not nav(told) and not told.startswith("open ") and (i == 0 or nav(plan.actions[i - 1]))
        ]
        for i, told in enumerate(plan.actions[: self.rng.choice(starts or [0])]):
            self._tell(words(thought(plan, i, told, self._scene), told))

    def _naively(self, first: int) -> Example:
        """What the naive scientist does until it would leave the room, or needs what is shut away."""
        while not self.done and (len(self.history) == first or not self._at_the_end):
            self._tell(self.naive.act(self.history))
        return self._example(first)

    @property
    def _at_the_end(self) -> bool:
        ahead = self.naive.ahead(self.history)
        return not ahead or bool(nav(ahead)) or ahead.startswith("open ")

    def _wander(self) -> None:
        for _ in range(self.rng.choice((0, 0, 1, 1, 2))):
            self._hop()

    def _hop(self) -> bool:
        """Through any door but the one that was come by; False where there is no other."""
        now = self._scene
        rooms = [r for r in HOUSE[now.room] if r not in self._been]
        if not rooms:
            return False
        room = self.rng.choice(rooms)
        if not now.is_open(room):
            self._do(f"I go to the {room}. The door is closed.", f"open door to {room}")
        self._do(f"I go to the {room}.", f"go to {room}")
        return True

    @property
    def _been(self) -> set[str]:
        return {scene(self.history.at(i)).room for i in range(len(self.history) + 1)}

    def _any(self) -> str:
        """Any sensible command here, not one that would help; no focus that could end the episode."""
        now = self._scene
        room = self.rng.choice(HOUSE[now.room])
        told = [f"open door to {room}", f"go to {room}", "wait1"]
        if now.things:
            thing, other = self.rng.choice(now.things), self.rng.choice(now.things)
            told += [f"{verb} {thing}" for verb in ("open", "pick up", "examine", "activate", "mix")]
            told += [f"move {thing} to {other}", f"pour {thing} in {other}"]
        return self.rng.choice(told)

    @property
    def _scene(self) -> Scene:
        return scene(self.history)

    def _do(self, why: str, told: str) -> None:
        self._tell(words(decided(*([why] if why else []), told=told), told))

    def _tell(self, action: str) -> None:
        if not self.done:
            seen, self.reward, self.done = self.env.step(action)
            self.history = self.history.then(action, seen)

    def _example(self, first: int) -> Example:
        trajectory = Trajectory(
            history=self.history,
            reward=self.reward,
            n_expert=first,
            source=self.naive.name,
            stop=Stop.DONE if self.done else Stop.TURN_LIMIT,
        )
        return Example(trajectory, first)
