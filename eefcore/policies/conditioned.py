"""Ask a policy with a phrase in its prompt: NAT (EEF §4.1) trains with one phrase for wins and another for losses."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from eefcore.protocols import Policy, Reply, Sampling
from eefcore.rendering.formats import add_phrase
from eefcore.types import History


class ConditionedPolicy:
    """A policy that reads a phrase after the task, π(· | h_t, phrase); histories are recorded without the phrase."""

    def __init__(self, inner: Policy, phrase: str) -> None:
        self.name, self._inner, self._phrase = inner.name, inner, phrase

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue the question h_t of `episode`, with the phrase in it."""
        self._inner.ask(episode, add_phrase(history, self._phrase), sampling)

    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Return the inner policy's answers."""
        return self._inner.answers()

    def close(self, episode: Hashable) -> None:
        """Forget what was kept for `episode`, which is over."""
        self._inner.close(episode)

    def length(self, history: History) -> int:
        """Return the number of tokens of h_t with the phrase."""
        return self._inner.length(add_phrase(history, self._phrase))
