"""Which episode sits in which slot, and how far it is. NumPy columns by slot, so that a step of all is a few calls."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

from eefcore.protocols import Sampling

Ints = npt.NDArray[np.int64]


class Seats:
    """`n` slots for episodes of at most `context` tokens.

    Columns, by slot: `tokens` [n, context] and `length`, what the episode says; `known`, how much of it
    has been read; `start`, where the action in writing begins; `logps` [n, context] of what was written;
    `temperature` and `seed` of the open question; `busy`, whether one is open.
    """

    def __init__(self, n: int, context: int) -> None:
        self.tokens = np.zeros((n, context), np.int64)
        self.logps = np.zeros((n, context), np.float32)
        self.length, self.known, self.start = (np.zeros(n, np.int64) for _ in range(3))
        self.temperature, self.seed = np.zeros(n, np.float32), np.zeros(n, np.uint64)
        self.busy = np.zeros(n, bool)
        self._episode: list[Hashable | None] = [None] * n
        self._slot: dict[Hashable, int] = {}  # in order of their last answer

    def __contains__(self, episode: Hashable) -> bool:
        return episode in self._slot

    def __len__(self) -> int:
        """Episodes that sit somewhere."""
        return len(self._slot)

    def slot(self, episode: Hashable) -> int:
        """Where `episode` sits."""
        return self._slot[episode]

    def episode(self, slot: int) -> Hashable:
        """Who sits there."""
        return self._episode[slot]

    def seat(self, episode: Hashable) -> bool:
        """Take a free slot for `episode`, else that of the idle one answered longest ago; False if all are busy."""
        if None not in self._episode:
            idle = next((e for e, slot in self._slot.items() if not self.busy[slot]), None)
            if idle is None:
                return False
            self.leave(idle)
        slot = self._episode.index(None)
        self._episode[slot], self._slot[episode] = episode, slot
        return True

    def leave(self, episode: Hashable) -> None:
        """Free the slot of `episode`."""
        slot = self._slot.pop(episode)
        self._episode[slot] = None
        self.busy[slot] = False
        self.length[slot] = self.known[slot] = 0

    def begin(self, episode: Hashable, prompt: list[int], sampling: Sampling) -> int:
        """Open a question; how many tokens of `prompt` the slot did not hold already."""
        slot, n, new = self._slot[episode], len(prompt), np.asarray(prompt, np.int64)
        same = min(n, int(self.length[slot]))
        differs = np.flatnonzero(self.tokens[slot, :same] != new[:same])
        kept = int(differs[0]) if len(differs) else same
        self.tokens[slot, :n] = new
        # The last token is always read, for its logits are what is drawn from.
        self.known[slot] = min(self.known[slot], kept, n - 1)
        self.length[slot] = self.start[slot] = n
        self.temperature[slot], self.seed[slot] = sampling.temperature, sampling.seed & 0xFFFFFFFFFFFFFFFF
        self.busy[slot] = True
        return n - kept

    def write(self, slots: Ints, tokens: Ints, logps: npt.NDArray[np.float32]) -> None:
        """Append one token to each of `slots`."""
        at = self.length[slots]
        self.tokens[slots, at], self.logps[slots, at] = tokens, logps
        self.length[slots] += 1

    def written(self, slot: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The action in writing: its tokens, and log π of each."""
        action = slice(self.start[slot], self.length[slot])
        return tuple(self.tokens[slot, action].tolist()), tuple(self.logps[slot, action].tolist())

    def end(self, slot: int) -> Hashable:
        """The question of this slot is answered; whose it was. The episode keeps its slot for its next turn."""
        episode = self._episode[slot]
        self.busy[slot] = False
        self._slot[episode] = self._slot.pop(episode)
        return episode

    def permute(self, order: Ints) -> None:
        """Slot i becomes what slot order[i] was."""
        for column in (self.tokens, self.logps, self.length, self.known, self.start):
            column[:] = column[order]
        for column in (self.temperature, self.seed, self.busy):
            column[:] = column[order]
        self._episode = [self._episode[old] for old in order.tolist()]
        moved = {old: new for new, old in enumerate(order.tolist())}
        self._slot = {episode: moved[slot] for episode, slot in self._slot.items()}
