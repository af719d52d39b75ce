"""Worlds of ScienceWorld in one Java process: loaded, acted in, each as if it were alone there.

The package's own `step` builds the whole list of valid actions, tens of milliseconds, to give five fields; here a
step is the simulator's answer alone. Called directly, its agent interface needs less than a megabyte a world.
What the worlds of a process share (the state of `scala.util.Random`, the counter of object ids) is kept with
the world that drew from it and put back when that world acts again.

Observations and scores are those of the package's `step`, to the letter. Two of its traps are closed: after a
`load` it gives the last episode's score until something is done, and `reset` makes a gold path each time once
one was made. Here every world is loaded, looks around once, and knows its own score.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from eefcore.envs.sciworld.jvm import FLAGS, JavaError, Jvm

SIMPLIFICATIONS = ""
"""None: no teleport, doors and containers closed, pots to be watered, circuits to be wired."""

NOTHING = "Unknown action.  Type 'help' for a list of actions, and 'objects' for a list of possible object references. "
"""What the package answers when an action leads to no words: after a cancelled choice."""

_FREE = ("help", "objects", "task")  # answered by the package without the simulator
_MASK, _XOR = (1 << 48) - 1, 0x5DEECE66D  # of java.util.Random: setSeed(s) sets its state to (s ^ XOR) & MASK


class Seen(NamedTuple):
    """What an action led to: the text, the score in 0 … 100 (-100: failed for good), and whether all goals are met."""

    observation: str
    score: int
    completed: bool


class World:
    """A task under way in a simulator; `seen` is the last it showed."""

    def __init__(self, simulator: Simulator, interface: Any, agent: Any) -> None:
        self.simulator, self.interface, self.agent = simulator, interface, agent
        self.shared: tuple[int, int] | None = None  # Random's state and the counter, while another world acts
        self.seen: Seen


class Simulator:
    """One Java process and the worlds in it. Safe to share between threads: they take turns."""

    def __init__(self, flags: tuple[str, ...] = FLAGS) -> None:
        self.jvm = Jvm(flags)
        self._acting: World | None = None
        with self.jvm.calling():
            java, scala = self.jvm.classes.java.lang, self.jvm.classes.scala
            # It numbers kinds of object, and writes the table into the current folder at each new one. Nobody reads it.
            names = java.Class.forName("util.UniqueTypeID$")
            _opened(names, "FILENAME_IDS").set(names.getField("MODULE$").get(None), os.devnull)
            self._server = self.jvm.classes.scienceworld.runtime.pythonapi.PythonInterface()
            self._maker = self._server.taskMaker()
            self._random = java.Class.forName("scala.util.Random$").getField("MODULE$").get(None).self()
            self._state = _opened(self._random.getClass(), "seed")
            self._ids, self._some, self._text = (
                self.jvm.classes.util.UniqueIdentifier,
                scala.Some,
                java.String,
            )

    def load(self, task: str, variation: int) -> World:
        """The world of a task, having looked around; `seen` is o_0: the task, and the room.

        Raises:
            SimulatorError: the process has ended.
        """
        with self.jvm.calling():
            self._leave()
            self._server.load(task, variation, SIMPLIFICATIONS, False)
            self._let_go()
            world = self._acting = World(
                self, self._taken(self._server.agentInterface()), self._taken(self._server.agent())
            )
            look = self.step(world, "look around")
            world.seen = look._replace(
                observation=f"{world.interface.getTaskDescription()}\n{look.observation}"
            )
            return world

    def step(self, world: World, command: str) -> Seen:
        """What `command` leads to. Any text is answered.

        An exception of the simulator's is an answer too, a failure for good, as it is in the package when an
        action throws it.

        Raises:
            SimulatorError: the process has ended.
        """
        with self.jvm.calling():
            self._enter(world)
            if command.strip().lower() in _FREE:
                self._show(world)
                return self._seen(world, Seen(self._server.step(command), *world.seen[1:]))
            try:
                answer = world.interface.step(command)
            except JavaError as error:
                return self._seen(world, Seen(str(error), -100, True))
            text = answer.toString()  # (observation,score,completed) of a Scala tuple: one call for three
            self.jvm.release(answer)
            observation, score, completed = text[1:-1].rsplit(",", 2)
            seen = Seen(observation or NOTHING, round(100 * float(score)), completed == "true")
            return self._seen(world, seen)

    def gold(self, task: str, variation: int) -> tuple[str, ...]:
        """The actions of the simulator's own rule-based agent from s_0; nearly always they win. Takes up to seconds."""
        with self.jvm.calling():
            self._leave()
            self._server.load(task, variation, SIMPLIFICATIONS, True)
            actions = self._server.getGoldActionSequence()
            told = self._text.join("\n", actions)
            self.jvm.release(actions)
            self._let_go()
            return tuple(told.split("\n")) if told else ()

    def forget(self, world: World) -> None:
        """Give back what a world holds over there."""
        for reference in (world.interface, world.agent):
            self.jvm.release(reference)
        if self._acting is world:
            self._acting = None

    def close(self) -> None:
        """End the process."""
        self.jvm.close()

    def _let_go(self) -> None:
        """Every load makes all thirty kinds of task anew, and only one is played.

        Those of the first stay in place of each load's own, which Java would copy about: a fifth of its time.
        """
        getattr(self._server, "taskMaker_$eq")(self._maker)

    @staticmethod
    def _seen(world: World, seen: Seen) -> Seen:
        world.seen = seen
        return seen

    def _taken(self, option: Any) -> Any:
        inside = option.get()
        self.jvm.release(option)
        return inside

    def _enter(self, world: World) -> None:
        if world is self._acting:
            return
        self._leave()
        assert world.shared is not None  # it was left, or it would be acting
        state, count = world.shared
        self._random.setSeed((state ^ _XOR) & _MASK)
        getattr(self._ids, "count_$eq")(count)
        self._acting = world

    def _leave(self) -> None:
        if self._acting is not None:
            self._acting.shared = (self._state.get(self._random), self._ids.count())
            self._acting = None

    def _show(self, world: World) -> None:
        """Make `world` the one that the package's own interface speaks of."""
        for name, value in (("agentInterface", world.interface), ("agent", world.agent)):
            option = self._some(value)
            getattr(self._server, f"{name}_$eq")(option)
            self.jvm.release(option)


def _opened(of: Any, name: str) -> Any:
    """A private field of a Java class, to be read and written."""
    field = of.getDeclaredField(name)
    field.setAccessible(True)
    return field
