"""The keys and values of many episodes, side by side, each as long as it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

BLOCK = 8  # neighbouring slots that share one attention call, as wide as the longest of them
_GROW = 256  # positions are added in such steps, so that a short context costs little memory


class Span(NamedTuple):
    """Positions [start, stop) of `slot`."""

    slot: int
    start: int
    stop: int


class Slots:
    """Room for `n` episodes of at most `context` tokens.

    Storage is [n, key heads, positions, head size] for each layer, made when the layer first writes,
    and grows along the positions.
    """

    def __init__(self, n: int, context: int) -> None:
        self.n, self.context = n, context
        self._positions = 0
        self._stores: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def empty(self) -> bool:
        """Whether no layer has stored anything."""
        return not self._stores

    def reserve(self, positions: int) -> None:
        """Make room for so many positions; each layer grows when it next writes."""
        self._positions = max(self._positions, min(-(-positions // _GROW) * _GROW, self.context))

    def store(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The layer's keys and values, for more like `key` and `value` [1, key heads, tokens, head size]."""
        held = self._stores.get(layer)
        if held is None:
            held = self._stores[layer] = self._room(key), self._room(value)
        elif held[0].shape[2] < self._positions:
            grown = self._room(key), self._room(value)
            for new, old in zip(grown, held, strict=True):
                new[:, :, : old.shape[2]] = old
            held = self._stores[layer] = grown
        return held

    def permute(self, order: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
        """Slot i becomes what slot order[i] was, of which `lengths[order[i]]` positions matter."""
        # Row by row along each cycle: a copy of everything at once would be all page faults.
        every = [held for pair in self._stores.values() for held in pair]
        left = {i for i, old in enumerate(order.tolist()) if i != old}
        while left:
            first = target = left.pop()
            saved = [held[first, :, : lengths[first]].clone() for held in every]
            while (source := int(order[target])) != first:
                for held in every:
                    held[target, :, : lengths[source]] = held[source, :, : lengths[source]]
                left.discard(source)
                target = source
            for held, kept in zip(every, saved, strict=True):
                held[target, :, : lengths[first]] = kept

    def _room(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_zeros(
            self.n, like.shape[1], self._positions, like.shape[3]
        )  # masked junk must be finite


def block_cost(lengths: npt.NDArray[np.int64]) -> int:
    """How many positions the shared calls look at when slots have these lengths (0 is idle)."""
    padded = np.zeros(-(-len(lengths) // BLOCK) * BLOCK, np.int64)
    padded[: len(lengths)] = lengths
    return BLOCK * int(padded.reshape(-1, BLOCK).max(1).sum())
