"""A policy without a model, for tests and for scripted experts: a function of the history."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from eefcore.errors import PolicyError
from eefcore.protocols import Reply, Sampling
from eefcore.types import History, StopReason


class ScriptedPolicy:
    """A policy whose action is `act(h_t)`, whatever the sampling; a blank action is malformed."""

    def __init__(self, act: Callable[[History], str], name: str = "scripted") -> None:
        self.name, self._act = name, act
        self._questions: dict[Hashable, History] = {}

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue the question h_t of `episode`."""
        del sampling
        if episode in self._questions:
            raise PolicyError(f"episode {episode!r} was asked twice; take its answer first, or close it")
        self._questions[episode] = history

    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Answer every open question, in the order they were asked."""
        questions, self._questions = self._questions, {}
        return [(episode, self._reply(history)) for episode, history in questions.items()]

    def close(self, episode: Hashable) -> None:
        """Drop the episode's question, if one is open."""
        self._questions.pop(episode, None)

    def length(self, history: History) -> int:
        """Return 0: a script reads no tokens."""
        del history
        return 0

    def _reply(self, history: History) -> Reply:
        action = self._act(history)
        return Reply(action, stop=None if action.strip() else StopReason.MALFORMED)
