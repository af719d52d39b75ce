"""Policies without a model: a function of the history, or what was recorded before.

For tests, for replays, and for scripted experts that are to be rolled out like any other policy.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from eefcore.errors import PolicyError
from eefcore.protocols import Reply, Sampling
from eefcore.types import History, State, Step, Stop, Trajectory


class Scripted:
    """π that says `act(h_t)`, whatever the sampling; a blank action is malformed."""

    def __init__(self, act: Callable[[History], str], name: str = "scripted") -> None:
        self.name = name
        self._act = act
        self._asked: dict[Hashable, History] = {}

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue the question."""
        del sampling
        if episode in self._asked:
            raise PolicyError(f"episode {episode!r} was asked twice; take its answer first, or close it")
        self._asked[episode] = history

    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Every open question's answer, in the order they were asked."""
        asked, self._asked = self._asked, {}
        return [(episode, self._reply(history)) for episode, history in asked.items()]

    def close(self, episode: Hashable) -> None:
        """Drop the episode's question, if one is open."""
        self._asked.pop(episode, None)

    def _reply(self, history: History) -> Reply:
        action = self._act(history)
        return Reply(action, stop=None if action.strip() else Stop.MALFORMED)


class Recorded(Scripted):
    """π that does what was recorded in the same state, its tokens included.

    Where several trajectories pass through a state, the first of them answers.
    """

    def __init__(self, trajectories: Iterable[Trajectory], name: str = "recorded") -> None:
        super().__init__(lambda history: self._step(history).action, name)
        self._steps: dict[State, Step] = {}
        for trajectory in trajectories:
            for i, step in enumerate(trajectory.history.steps):
                self._steps.setdefault(trajectory.state(i), step)

    def _reply(self, history: History) -> Reply:
        step = self._step(history)
        return Reply(step.action, step.tokens, step.logps)

    def _step(self, history: History) -> Step:
        """What was done in the state of `history`.

        Raises:
            PolicyError: no recorded trajectory passes through the state.
        """
        step = self._steps.get(history.state)
        if step is None:
            raise PolicyError(
                f"{history.task_id}: nothing was recorded after {list(history.actions)}; "
                f"{len(self._steps)} states are known, so was this policy given the trajectories of another run?"
            )
        return step
