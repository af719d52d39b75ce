"""The key-value cache: keys and values of many episodes side by side, each episode as long as it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

BLOCK = 8  # neighbouring slots that share one attention call, as wide as the longest of them
_GROWTH = 256  # positions are added in such steps, so that a short context costs little memory


class Span(NamedTuple):
    """A range of positions [start, stop) in a slot of the cache."""

    slot: int
    start: int
    stop: int


class KVCache:
    """Keys and values of `n` slots, of at most `context` tokens each.

    Storage is [n, key heads, positions, head size] for each layer, allocated when the layer first writes,
    and grows along the positions.
    """

    def __init__(self, n: int, context: int) -> None:
        self.n, self.context = n, context
        self._positions = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no layer has stored anything."""
        return not self._layers

    def reserve(self, positions: int) -> None:
        """Make room for so many positions; each layer grows when it next writes."""
        self._positions = max(self._positions, min(-(-positions // _GROWTH) * _GROWTH, self.context))

    def layer(self, index: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the storage of a layer's keys and values, grown to what is reserved.

        `key` and `value` [1, key heads, tokens, head size] say what the layer's storage is like when it is allocated.
        """
        storage = self._layers.get(index)
        if storage is None:
            storage = self._layers[index] = self._allocate(key), self._allocate(value)
        elif storage[0].shape[2] < self._positions:
            grown = self._allocate(key), self._allocate(value)
            for new, old in zip(grown, storage, strict=True):
                new[:, :, : old.shape[2]] = old
            storage = self._layers[index] = grown
        return storage

    def permute(self, order: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
        """Move the content of slot order[i] to slot i; only its first `lengths[order[i]]` positions matter."""
        # Row by row along each cycle: a copy of everything at once would be all page faults.
        tensors = [tensor for pair in self._layers.values() for tensor in pair]
        left = {i for i, old in enumerate(order.tolist()) if i != old}
        while left:
            first = target = left.pop()
            saved = [tensor[first, :, : lengths[first]].clone() for tensor in tensors]
            while (source := int(order[target])) != first:
                for tensor in tensors:
                    tensor[target, :, : lengths[source]] = tensor[source, :, : lengths[source]]
                left.discard(source)
                target = source
            for tensor, row in zip(tensors, saved, strict=True):
                tensor[target, :, : lengths[first]] = row

    def _allocate(self, like: torch.Tensor) -> torch.Tensor:
        # Zeros, since what is masked must still be finite.
        return like.new_zeros(self.n, like.shape[1], self._positions, like.shape[3])


def block_cost(lengths: npt.NDArray[np.int64]) -> int:
    """Return how many positions the shared attention calls look at when slots have these lengths (0 is idle)."""
    padded = np.zeros(-(-len(lengths) // BLOCK) * BLOCK, np.int64)
    padded[: len(lengths)] = lengths
    return BLOCK * int(padded.reshape(-1, BLOCK).max(1).sum())
