"""Tasks of ScienceWorld that run side by side in one Java process, each as if it were alone there.

The package's own `step` lists all valid actions, tens of milliseconds; here a step is the simulator's answer alone,
equal to the letter. What the tasks of a process share (the state of `scala.util.Random`, the counter of object ids) is
saved with the task that used it last, and restored when that task goes on.

Two traps of the package are avoided: after a `load` it returns the last episode's score until something is done, and
its `reset` computes a gold path each time once one was computed. Here every task is loaded anew and looks around once.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from eefcore.envs.sciworld.jvm import FLAGS, JavaError, Jvm

SIMPLIFICATIONS = ""
"""None: no teleport, doors and containers start closed, pots must be watered, circuits must be wired."""

NO_ANSWER = "Unknown action.  Type 'help' for a list of actions, and 'objects' for a list of possible object references. "
"""What the package shows when the simulator answers an action with no text: after a cancelled choice."""

_FREE = ("help", "objects", "task")  # answered by the package without the simulator
_MASK, _XOR = (1 << 48) - 1, 0x5DEECE66D  # of java.util.Random: setSeed(s) sets its state to (s ^ XOR) & MASK


class Response(NamedTuple):
    """The response to a command: the text, the score in 0 … 100 or -100 for a failure, and whether all goals are met."""

    observation: str
    score: int
    completed: bool


class SharedState(NamedTuple):
    """What all tasks of a process use, as one task left it: the state of `Random`, and the counter of object ids."""

    random: int
    object_count: int


class RunningTask:
    """A task that runs in a simulator, and the last response in it; `interface` and `agent` are Java objects.

    `shared` is the process's state as this task left it, None while it is the one that acts.
    """

    def __init__(self, simulator: Simulator, interface: Any, agent: Any) -> None:
        self.simulator, self.interface, self.agent = simulator, interface, agent
        self.shared: SharedState | None = None
        self.response: Response


class Simulator:
    """One Java process and the tasks that run in it. Safe to share between threads: they take turns."""

    def __init__(self, flags: tuple[str, ...] = FLAGS) -> None:
        self.jvm = Jvm(flags)
        self._acting: RunningTask | None = None
        with self.jvm.exclusive():
            java, scala = self.jvm.classes.java.lang, self.jvm.classes.scala
            # The simulator numbers its kinds of object, and writes the table into the current folder at each new
            # one. Nothing reads it.
            names = java.Class.forName("util.UniqueTypeID$")
            _private_field(names, "FILENAME_IDS").set(names.getField("MODULE$").get(None), os.devnull)
            self._server = self.jvm.classes.scienceworld.runtime.pythonapi.PythonInterface()
            self._task_maker = self._server.taskMaker()
            self._random = java.Class.forName("scala.util.Random$").getField("MODULE$").get(None).self()
            self._random_state = _private_field(self._random.getClass(), "seed")
            self._ids = self.jvm.classes.util.UniqueIdentifier
            self._some, self._text = scala.Some, java.String

    def load(self, task: str, variation: int) -> RunningTask:
        """Load a task and look around; the `response` of the result is o_0, the task and the room."""
        with self.jvm.exclusive():
            self._save_shared()
            self._server.load(task, variation, SIMPLIFICATIONS, False)
            self._reuse_task_maker()
            running = self._acting = RunningTask(
                self, self._unwrap(self._server.agentInterface()), self._unwrap(self._server.agent())
            )
            look = self.step(running, "look around")
            running.response = look._replace(
                observation=f"{running.interface.getTaskDescription()}\n{look.observation}"
            )
            return running

    def step(self, running: RunningTask, command: str) -> Response:
        """Give a command in a task and return the response; any text is answered.

        An exception of the simulator is an answer too, and the task has failed for good, as in the package. Raises
        SimulatorError if the process has ended, as `load` and `gold` do.
        """
        with self.jvm.exclusive():
            self._restore_shared(running)
            running.response = self._respond(running, command)
            return running.response

    def gold(self, task: str, variation: int) -> tuple[str, ...]:
        """Return the commands of the simulator's own agent from s_0, which nearly always win; takes up to seconds."""
        with self.jvm.exclusive():
            self._save_shared()
            self._server.load(task, variation, SIMPLIFICATIONS, True)
            actions = self._server.getGoldActionSequence()
            text = self._text.join("\n", actions)
            self.jvm.release(actions)
            self._reuse_task_maker()
            return tuple(text.split("\n")) if text else ()

    def forget(self, running: RunningTask) -> None:
        """Release what a task holds in the Java process."""
        for reference in (running.interface, running.agent):
            self.jvm.release(reference)
        if self._acting is running:
            self._acting = None

    def close(self) -> None:
        """End the process."""
        self.jvm.close()

    def _respond(self, running: RunningTask, command: str) -> Response:
        if command.strip().lower() in _FREE:
            self._show_package(running)
            return Response(self._server.step(command), *running.response[1:])
        try:
            answer = running.interface.step(command)
        except JavaError as error:
            return Response(str(error), -100, True)
        text = answer.toString()  # (observation,score,completed) of a Scala tuple: one call for three
        self.jvm.release(answer)
        observation, score, completed = text[1:-1].rsplit(",", 2)
        return Response(observation or NO_ANSWER, round(100 * float(score)), completed == "true")

    def _reuse_task_maker(self) -> None:
        """Put the first task maker back: each load makes all kinds of task anew, and Java would copy them about."""
        getattr(self._server, "taskMaker_$eq")(self._task_maker)

    def _unwrap(self, option: Any) -> Any:
        """Return the value in a Scala option."""
        inside = option.get()
        self.jvm.release(option)
        return inside

    def _restore_shared(self, running: RunningTask) -> None:
        """Make `running` the task that acts, with the process's shared state as it left it."""
        if running is self._acting:
            return
        self._save_shared()
        assert running.shared is not None  # saved when another task took over
        self._random.setSeed((running.shared.random ^ _XOR) & _MASK)
        getattr(self._ids, "count_$eq")(running.shared.object_count)
        self._acting = running

    def _save_shared(self) -> None:
        """Save the process's shared state with the task that acts, before another one does."""
        if self._acting is not None:
            self._acting.shared = SharedState(self._random_state.get(self._random), self._ids.count())
            self._acting = None

    def _show_package(self, running: RunningTask) -> None:
        """Make `running` the task that the package's own interface answers about."""
        for name, value in (("agentInterface", running.interface), ("agent", running.agent)):
            option = self._some(value)
            getattr(self._server, f"{name}_$eq")(option)
            self.jvm.release(option)


def _private_field(java_class: Any, name: str) -> Any:
    """Return a private field of a Java class, to be read and written."""
    field = java_class.getDeclaredField(name)
    field.setAccessible(True)
    return field
