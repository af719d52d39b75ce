"""One episode of a ScienceWorld task, ended by win or loss: an `eefcore.protocols.Environment`.

An episode ends when all goals are met (a win), when the score falls below 0 (the wrong thing was focused on: a loss),
or after `max_turns` actions. The simulator would go on in each case, and its `done` does not mean a win.

R(τ) is 1 for a win and for nothing else. A loss and an unfinished episode have their score / 100, at most 0.99 and at
least 0, for the reward columns of EEF Table 3. EEF restricts its agents to win or loss (§4.1), so all that learns here
asks `Trajectory.win`; the score is reported, and never trained on.

An agent may write thoughts before its action, as AgentGym's agents do: the simulator gets what follows the last
`Action:`, or the whole text. `reset task`, which would undo a failure, is given as words the simulator does not know.
Numbers that answer a question ("Ambiguous request: …") are actions like any other; the question is part of the state.
"""

from __future__ import annotations

from collections.abc import Mapping

from eefcore.envs.panels import Episode
from eefcore.envs.sciworld.simulator import Response
from eefcore.envs.sciworld.simulator_pool import ResponseCache, SimulatorPool, SimulatorState
from eefcore.envs.sciworld.tasks import Task
from eefcore.types import State, Transition

UNKNOWN = "reset"
"""Neither an action nor a thing: it cancels a question, as any such words do, and has no other effect."""

_ARTICLES = frozenset(("a", "an", "the"))  # which the simulator ignores


class SciWorld(Episode[Task]):
    """A ScienceWorld environment that plays one episode at a time; environments share simulators and the cache of responses."""

    def __init__(
        self, tasks: Mapping[str, Task], simulators: SimulatorPool, cache: ResponseCache, max_turns: int
    ) -> None:
        super().__init__(tasks)
        self._simulators, self._cache, self._max_turns = simulators, cache, max_turns
        self._simulator_state: SimulatorState

    def reset(self, task_id: str) -> str:
        """Start the task and return o_0, which is the task's text and the room. Raise UnknownTask if no task has that id."""
        self._simulator_state = SimulatorState(self._start(task_id))
        return self._simulators.response(self._simulator_state, self._cache).observation

    def step(self, action: str) -> Transition:
        """Give an action to the simulator and return its response, to any text. Raise EpisodeOver after done, or before `reset`."""
        before = self._running_state()
        task, commands = self._simulator_state
        state = SimulatorState(task, (*commands, simulator_command(action)))
        response = self._simulators.response(state, self._cache)
        transition = to_transition(response, last=len(state.commands) >= self._max_turns)
        self._state = State(before.task_id, (*before.actions, action))
        self._simulator_state, self._done = state, transition.done
        return transition

    def restore(self, state: State) -> str:
        """Go to `state`, by cached responses or by replay, and return the observation there.

        Raises:
            EpisodeOver: its actions go on after the episode ends.
            ReplayMismatch: a replay does not show what was seen before.
        """
        observation = self.reset(state.task_id)
        for action in state.actions:
            observation = self.step(action).observation
        return observation


def simulator_command(action: str) -> str:
    """Return the part of an action's text that the simulator gets: what follows the last `Action:`, or all of it."""
    _, _, text = action.rpartition("Action:")
    words = text.encode(errors="replace").decode().split()
    if "".join(w for w in words if w.lower() not in _ARTICLES).lower() == "resettask":
        return UNKNOWN
    return " ".join(words)


def to_transition(response: Response, *, last: bool) -> Transition:
    """Return the observation, and what the response means for the episode; `last` if no further action is allowed."""
    if not (response.completed or response.score < 0 or last):
        return Transition(response.observation)
    win = response.completed and response.score == 100
    return Transition(response.observation, 1.0 if win else min(max(response.score, 0), 99) / 100, True)
