"""ScienceWorld as an `eefcore.protocols.Environment`: an episode of a task, by win or loss.

An episode ends when all goals are met (a win), when the score falls below 0 (the wrong thing was focused on: a loss),
or after `max_turns` actions. The simulator would go on in each case, and its `done` is no win.

R(τ) is 1 for a win and nothing else. A loss has its score / 100, at most 0.99 and at least 0, so that the
reward columns of Table 3 can be filled; an unfinished episode too, whose score is what was reached when the actions
ran out. EEF restricts its agents to win or loss (§4.1), so all that learns here asks `Trajectory.win`: selection,
finders, pairs with `by: win`. The score is reported, never trained on.

An agent may write thoughts before its action, as AgentGym's do: the simulator is told what follows the last
`Action:`, or all of it. `reset task`, which would take a failure back, is told as words it does not know.
Numbers that answer a question ("Ambiguous request: …") are actions like any other; the question is part of the state.
"""

from __future__ import annotations

from collections.abc import Mapping

from eefcore.envs.sciworld.simulator import Seen
from eefcore.envs.sciworld.tasks import Task
from eefcore.envs.sciworld.worlds import Memory, Place, Worlds
from eefcore.errors import EpisodeOver, UnknownTask
from eefcore.types import State, Transition

UNKNOWN = (
    "reset"  # no action, and no thing: it cancels a question, as any such words do, and does nothing else
)
_ARTICLES = frozenset(("a", "an", "the"))  # which the simulator does not hear


class SciWorld:
    """One episode at a time. Cheap to make: simulators and what was seen are shared."""

    def __init__(self, tasks: Mapping[str, Task], worlds: Worlds, memory: Memory, max_turns: int) -> None:
        self._tasks, self._worlds, self._memory, self._max_turns = tasks, worlds, memory, max_turns
        self._state: State | None = None
        self._place: Place
        self._done = True

    def reset(self, task_id: str) -> str:
        """Start the task; return o_0: what is asked for, and the room.

        Raises:
            UnknownTask: no task has that id.
        """
        if task_id not in self._tasks:
            raise UnknownTask(
                f"no task {task_id!r} among {len(self._tasks)} of ScienceWorld; a task id is a hash of its kind, its "
                "variation and the simulator's version, so the version or the benchmark may have changed"
            )
        place = Place(self._tasks[task_id])
        seen = self._worlds.look(place, self._memory)
        self._state, self._place, self._done = State(task_id), place, False
        return seen.observation

    def step(self, action: str) -> Transition:
        """Act. Any text is answered, as the simulator does.

        Raises:
            EpisodeOver: after done, or before `reset`.
        """
        if self._state is None or self._done:
            raise self._over("step")
        place = Place(self._place.task, (*self._place.commands, command(action)))
        answer = judged(self._worlds.look(place, self._memory), last=len(place.commands) >= self._max_turns)
        self._state = State(self._state.task_id, (*self._state.actions, action))
        self._place, self._done = place, answer.done
        return answer

    def snapshot(self) -> State:
        """s_t.

        Raises:
            EpisodeOver: before `reset`.
        """
        if self._state is None:
            raise self._over("snapshot")
        return self._state

    def restore(self, state: State) -> str:
        """Be at `state`, and return what is seen there: remembered, or replayed.

        Raises:
            UnknownTask: no task has its id.
            EpisodeOver: its actions go on after the episode ends.
            ReplayMismatch: a replay does not show what was seen before.
        """
        observation = self.reset(state.task_id)
        for action in state.actions:
            observation = self.step(action).observation
        return observation

    def _over(self, what: str) -> EpisodeOver:
        where = (
            "before any task was started"
            if self._state is None
            else f"of {self._state.task_id} after its end, {len(self._state.actions)} actions in"
        )
        return EpisodeOver(f"{what} {where}; call reset or restore first")


def command(action: str) -> str:
    """What of an action text the simulator is told."""
    _, _, told = action.rpartition("Action:")
    words = told.encode(errors="replace").decode().split()
    if "".join(w for w in words if w.lower() not in _ARTICLES).lower() == "resettask":
        return UNKNOWN
    return " ".join(words)


def judged(seen: Seen, *, last: bool) -> Transition:
    """What is seen, and what it means for the episode; `last` is the last action there may be."""
    if not (seen.completed or seen.score < 0 or last):
        return Transition(seen.observation)
    win = seen.completed and seen.score == 100
    return Transition(seen.observation, 1.0 if win else min(max(seen.score, 0), 99) / 100, True)
