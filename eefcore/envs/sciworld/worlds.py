"""What is seen at any state of any task: remembered, or played in a world that is brought there.

ScienceWorld has no snapshots, so a state is reached by replay (DESIGN §4.1). Three things make that quick:

    memory   what was seen at a state is kept; to be there again costs nothing until something new is done
    warm     a world is left where it was played to; one that stands on the way to a state is taken on from there
    lean     a world takes less than a megabyte, so that hundreds wait in one process

Every step of a replay is compared with what is remembered of it: what differs is an error, not an episode.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from eefcore.envs.sciworld.simulator import Seen, Simulator, World
from eefcore.envs.sciworld.tasks import Task
from eefcore.errors import ReplayMismatch, SimulatorError


class Place(NamedTuple):
    """A task, and what has been done in it: the commands alone, whatever was thought between them."""

    task: Task
    commands: tuple[str, ...] = ()


class Memory:
    """What was seen at the last `size` places; what is older is played again when it is asked for."""

    def __init__(self, size: int = 50_000) -> None:
        self._seen: dict[Place, Seen] = {}
        self._size, self._lock = size, threading.Lock()

    def keep(self, place: Place, seen: Seen) -> None:
        """Remember what is seen at `place`.

        Raises:
            ReplayMismatch: something else was.
        """
        with self._lock:
            known = self._seen.setdefault(place, seen)
            if len(self._seen) > self._size:
                del self._seen[next(iter(self._seen))]
        if known != seen:
            raise ReplayMismatch(
                f"{place.task.kind} {place.task.variation}: after {list(place.commands)} the simulator shows {seen}, "
                f"and showed {known}; is it started as eefcore.envs.sciworld.jvm says?"
            )

    def recall(self, place: Place) -> Seen | None:
        """What is seen at `place`, if it is remembered."""
        return self._seen.get(place)


class Worlds:
    """Where everything can be seen. Starts simulators when it needs them; safe to share between threads.

    Args:
        simulators: Java processes at most, as many as threads that look at once; they are given worlds in turn.
        warm: worlds kept in all, the last used.
    """

    def __init__(self, *, simulators: int = 1, warm: int = 128) -> None:
        self._most, self._warm = simulators, warm
        self._simulators: list[Simulator] = []
        self._standing: OrderedDict[Place, World] = OrderedDict()
        self._lock = threading.Lock()

    def look(self, place: Place, memory: Memory) -> Seen:
        """What is seen at `place`.

        Raises:
            ReplayMismatch: the way there does not show what it showed before.
            SimulatorError: simulators can't be started, or end one after the other.
        """
        if known := memory.recall(place):
            return known
        try:
            return self._played(place, memory)
        except SimulatorError:  # it was ended (no memory, a signal): once more, from s_0 in a new one
            return self._played(place, memory)

    def gold(self, task: Task) -> tuple[str, ...]:
        """The actions of the simulator's own rule-based agent from s_0."""
        return self.simulator().gold(*task)

    def simulator(self) -> Simulator:
        """One that runs, in turn; started if there are fewer than may be.

        Raises:
            SimulatorError: it can't be started.
        """
        with self._lock:
            self._simulators = [s for s in self._simulators if s.jvm.alive]
            new = len(self._simulators) < self._most
            self._simulators.append(Simulator() if new else self._simulators.pop(0))  # they take turns
            return self._simulators[-1]

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the Java processes that run."""
        return tuple(s.jvm.pid for s in self._simulators if s.jvm.alive)

    def close(self) -> None:
        """End the simulators; the next look starts new ones."""
        with self._lock:
            for simulator in self._simulators:
                simulator.close()
            self._simulators.clear()
            self._standing.clear()

    def _played(self, place: Place, memory: Memory) -> Seen:
        task, commands = place
        world, done = self._nearest(place)
        if world is None:
            world = self.simulator().load(*task)
        try:
            memory.keep(Place(task, commands[:done]), world.seen)
            for i in range(done, len(commands)):
                seen = world.simulator.step(world, commands[i])
                memory.keep(Place(task, commands[: i + 1]), seen)
        except BaseException:
            world.simulator.forget(world)
            raise
        self._stand(place, world)
        return world.seen

    def _nearest(self, place: Place) -> tuple[World | None, int]:
        """The world that stands furthest on the way to `place`, for us alone, and how many commands it has done."""
        with self._lock:
            for done in range(len(place.commands), -1, -1):
                world = self._standing.pop(Place(place.task, place.commands[:done]), None)
                if world is not None and world.simulator.jvm.alive:
                    return world, done
        return None, 0

    def _stand(self, place: Place, world: World) -> None:
        """Leave the world where it is, for who comes this way."""
        with self._lock:
            before = self._standing.pop(place, None)
            self._standing[place] = world
            oldest = self._standing.popitem(last=False)[1] if len(self._standing) > self._warm else None
        for over in (before, oldest):
            if over is not None:
                over.simulator.forget(over)


_shared = Worlds()


def shared() -> Worlds:
    """The worlds of this process: however many benchmarks are loaded, one simulator runs."""
    return _shared
