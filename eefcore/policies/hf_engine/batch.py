"""Keep the episodes that are decoded side by side: the slot of each, its tokens, and how many of them the model has read.

Everything is a NumPy column indexed by slot, so that a step of all episodes is a few calls.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

from eefcore.protocols import Sampling

Ints = npt.NDArray[np.int64]


class EpisodeBatch:
    """`n` slots for episodes of at most `context` tokens.

    Columns, by slot: `tokens` [n, context] and `length`, the text of the episode; `n_read`, how many of its tokens
    have been read; `action_start`, where the action that is being written begins; `logps` [n, context] of what was
    written; `temperature` and `seed` of the open question; `busy`, whether a question is open.
    """

    def __init__(self, n: int, context: int) -> None:
        self.tokens = np.zeros((n, context), np.int64)
        self.logps = np.zeros((n, context), np.float32)
        self.length, self.n_read, self.action_start = (np.zeros(n, np.int64) for _ in range(3))
        self.temperature, self.seed = np.zeros(n, np.float32), np.zeros(n, np.uint64)
        self.busy = np.zeros(n, bool)
        self._episodes: list[Hashable | None] = [None] * n
        self._slots: dict[Hashable, int] = {}  # in order of their last answer

    def __contains__(self, episode: Hashable) -> bool:
        return episode in self._slots

    def __len__(self) -> int:
        """Return the number of episodes that have a slot."""
        return len(self._slots)

    def slot(self, episode: Hashable) -> int:
        """Return the slot of `episode`."""
        return self._slots[episode]

    def episode(self, slot: int) -> Hashable:
        """Return the episode in this slot."""
        return self._episodes[slot]

    def assign_slot(self, episode: Hashable) -> bool:
        """Give `episode` a free slot, or else that of the idle one answered longest ago; False if all are busy."""
        if None not in self._episodes:
            idle = next((e for e, slot in self._slots.items() if not self.busy[slot]), None)
            if idle is None:
                return False
            self.free_slot(idle)
        slot = self._episodes.index(None)
        self._episodes[slot], self._slots[episode] = episode, slot
        return True

    def free_slot(self, episode: Hashable) -> None:
        """Free the slot of `episode`."""
        slot = self._slots.pop(episode)
        self._episodes[slot] = None
        self.busy[slot] = False
        self.length[slot] = self.n_read[slot] = 0

    def open_question(self, episode: Hashable, prompt: list[int], sampling: Sampling) -> int:
        """Open a question; return how many tokens of `prompt` the slot did not hold already."""
        slot, n, new = self._slots[episode], len(prompt), np.asarray(prompt, np.int64)
        shared = min(n, int(self.length[slot]))
        differences = np.flatnonzero(self.tokens[slot, :shared] != new[:shared])
        prefix = int(differences[0]) if len(differences) else shared
        self.tokens[slot, :n] = new
        # The last token is always read, for its logits are what the next token is sampled from.
        self.n_read[slot] = min(self.n_read[slot], prefix, n - 1)
        self.length[slot] = self.action_start[slot] = n
        self.temperature[slot], self.seed[slot] = sampling.temperature, sampling.seed & 0xFFFFFFFFFFFFFFFF
        self.busy[slot] = True
        return n - prefix

    def append_tokens(self, slots: Ints, tokens: Ints, logps: npt.NDArray[np.float32]) -> None:
        """Append one token to each of `slots`."""
        position = self.length[slots]
        self.tokens[slots, position], self.logps[slots, position] = tokens, logps
        self.length[slots] += 1

    def action(self, slot: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return the tokens of the action that is being written, and log π of each."""
        action = slice(self.action_start[slot], self.length[slot])
        return tuple(self.tokens[slot, action].tolist()), tuple(self.logps[slot, action].tolist())

    def close_question(self, slot: int) -> Hashable:
        """Close the question of this slot and return its episode, which keeps the slot for its next turn."""
        episode = self._episodes[slot]
        self.busy[slot] = False
        self._slots[episode] = self._slots.pop(episode)
        return episode

    def permute(self, order: Ints) -> None:
        """Move the content of slot order[i] to slot i."""
        positions = self.length, self.n_read, self.action_start
        for column in (self.tokens, self.logps, *positions, self.temperature, self.seed, self.busy):
            column[:] = column[order]
        self._episodes = [self._episodes[old] for old in order.tolist()]
        new_slot = {old: new for new, old in enumerate(order.tolist())}
        self._slots = {episode: new_slot[slot] for episode, slot in self._slots.items()}
