"""The simulator's response at any state of any task: taken from a cache, or played in a task that is brought there.

ScienceWorld has no snapshots, so a state is reached by replay. Three things make that quick:

    cache          responses are kept by state; to be back at a state costs nothing until something new is done
    idle tasks     a running task is left where it was played to, and a state beyond it is played from there
    light tasks    a running task takes less than a megabyte, so that hundreds wait in one process

Every step of a replay is compared with the cached response to it. A difference is an error, not an episode.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cache
from typing import NamedTuple

from eefcore.envs.sciworld.simulator import Response, RunningTask, Simulator
from eefcore.envs.sciworld.tasks import Task
from eefcore.errors import ReplayMismatch, SimulatorError


class SimulatorState(NamedTuple):
    """A task and the commands given in it so far, without the thoughts between them."""

    task: Task
    commands: tuple[str, ...] = ()


class ResponseCache:
    """The responses at the last `size` states; an older one is played again when it is needed."""

    def __init__(self, size: int = 50_000) -> None:
        self._responses: dict[SimulatorState, Response] = {}
        self._size, self._lock = size, threading.Lock()

    def add(self, state: SimulatorState, response: Response) -> None:
        """Keep the response at `state`; raise ReplayMismatch if the cache holds another one for it."""
        with self._lock:
            earlier = self._responses.setdefault(state, response)
            if len(self._responses) > self._size:
                del self._responses[next(iter(self._responses))]
        if earlier != response:
            raise ReplayMismatch(
                f"{state.task.kind} {state.task.variation}: after {list(state.commands)} the simulator shows {response}, "
                f"and showed {earlier}; is it started as eefcore.envs.sciworld.jvm says?"
            )

    def get(self, state: SimulatorState) -> Response | None:
        """Return the response at `state`, None if it is not cached."""
        return self._responses.get(state)


class SimulatorPool:
    """The simulators of a process and the tasks that run in them. Starts simulators when it needs them; thread-safe.

    Args:
        simulators: Java processes at most, as many as threads that ask at once; tasks are given to them in turn.
        max_idle: running tasks kept in all, the last used.
    """

    def __init__(self, *, simulators: int = 1, max_idle: int = 128) -> None:
        self._max_simulators, self._max_idle = simulators, max_idle
        self._simulators: list[Simulator] = []
        self._idle: OrderedDict[SimulatorState, RunningTask] = OrderedDict()
        self._lock = threading.Lock()

    def response(self, state: SimulatorState, cache: ResponseCache) -> Response:
        """Return the response at `state`, cached or played.

        Raises:
            ReplayMismatch: a state on the way does not show what it showed before.
            SimulatorError: simulators can't be started, or end one after the other.
        """
        if cached := cache.get(state):
            return cached
        try:
            return self._play(state, cache)
        except (
            SimulatorError
        ):  # the process was ended (no memory, a signal): once more, from s_0 in a new one
            return self._play(state, cache)

    def gold(self, task: Task) -> tuple[str, ...]:
        """Return the commands of the simulator's own agent in a task, from s_0 (`Simulator.gold`).

        Raises:
            SimulatorError: simulators can't be started, or end one after the other.
        """
        try:
            return self.simulator().gold(*task)
        except (
            SimulatorError
        ):  # beside many waiting tasks a gold path may run out of memory: once more, in a new one
            return self.simulator().gold(*task)

    def simulator(self) -> Simulator:
        """Return a running simulator, each in its turn; start one while there are fewer than allowed."""
        with self._lock:
            self._simulators = [s for s in self._simulators if s.jvm.alive]
            start = len(self._simulators) < self._max_simulators
            self._simulators.append(Simulator() if start else self._simulators.pop(0))
            return self._simulators[-1]

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the Java processes that run."""
        return tuple(s.jvm.pid for s in self._simulators if s.jvm.alive)

    def close(self) -> None:
        """End the simulators; the next question starts new ones."""
        with self._lock:
            for simulator in self._simulators:
                simulator.close()
            self._simulators.clear()
            self._idle.clear()

    def _play(self, state: SimulatorState, cache: ResponseCache) -> Response:
        """Play the commands of `state` that its nearest idle task has not done yet; cache and compare each response."""
        task, commands = state
        running, done = self._take_nearest(state)
        if running is None:
            running = self.simulator().load(*task)
        try:
            cache.add(SimulatorState(task, commands[:done]), running.response)
            for i in range(done, len(commands)):
                response = running.simulator.step(running, commands[i])
                cache.add(SimulatorState(task, commands[: i + 1]), response)
        except BaseException:
            running.simulator.forget(running)
            raise
        self._leave_idle(state, running)
        return running.response

    def _take_nearest(self, state: SimulatorState) -> tuple[RunningTask | None, int]:
        """Take out the idle task that is furthest on the way to `state`; return it and how many commands it has done."""
        with self._lock:
            for done in range(len(state.commands), -1, -1):
                running = self._idle.pop(SimulatorState(state.task, state.commands[:done]), None)
                if running is not None and running.simulator.jvm.alive:
                    return running, done
        return None, 0

    def _leave_idle(self, state: SimulatorState, running: RunningTask) -> None:
        """Leave the task at `state`, for later states on its way; forget the one that was there, and the oldest."""
        with self._lock:
            replaced = self._idle.pop(state, None)
            self._idle[state] = running
            oldest = self._idle.popitem(last=False)[1] if len(self._idle) > self._max_idle else None
        for unneeded in (replaced, oldest):
            if unneeded is not None:
                unneeded.simulator.forget(unneeded)


@cache
def shared_pool() -> SimulatorPool:
    """Return the pool of this process, so that one simulator runs however many benchmarks are loaded."""
    return SimulatorPool()
