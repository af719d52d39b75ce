"""π_θ asked as NAT trains it: with the phrase in the prompt that told good trajectories from bad ones."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from eefcore.protocols import Policy, Reply, Sampling
from eefcore.rendering.formats import add_phrase
from eefcore.types import History


class Conditioned:
    """π(· | h_t, phrase): `inner`, which reads `phrase` after the task; what is recorded of an episode is without it."""

    def __init__(self, inner: Policy, phrase: str) -> None:
        self.name, self._inner, self._phrase = inner.name, inner, phrase

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue the question, the phrase in it."""
        self._inner.ask(episode, add_phrase(history, self._phrase), sampling)

    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """The inner policy's."""
        return self._inner.answers()

    def close(self, episode: Hashable) -> None:
        """Forget the episode."""
        self._inner.close(episode)

    def length(self, history: History) -> int:
        """Tokens of h_t with the phrase."""
        return self._inner.length(add_phrase(history, self._phrase))
