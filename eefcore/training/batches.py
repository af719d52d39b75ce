"""Turn training rows into batches: as tensors, in a random order, rows of similar length in one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler

from eefcore.training.rows import IGNORE, Row


def collate(rows: Sequence[Row]) -> dict[str, Tensor]:
    """Return `input_ids` and `labels`, [B, L], padded on the right with 0 and IGNORE.

    There is no attention mask: a causal model never looks ahead, so nothing sees what is on the right.
    """
    longest = max(len(r.tokens) for r in rows)

    def pad(values: Sequence[int], fill: int) -> list[int]:
        return [*values, *[fill] * (longest - len(values))]

    return {
        "input_ids": torch.tensor([pad(r.tokens, 0) for r in rows]),
        "labels": torch.tensor([pad(r.labels, IGNORE) for r in rows]),
    }


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield indices of rows of similar length, the longest first, so that a padded batch has at most `batch_tokens`."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // lengths[order[start]])
        yield order[start : start + size]
        start += size


class BatchSampler(Sampler[int]):
    """The order of the rows in an epoch: a random permutation, each global batch sorted by length.

    Sorting inside a batch leaves the batch, and so its gradient, what it was, and fills its
    micro-batches with rows of similar length, which saves padding. With `pool_batches` above 1, that many
    batches are sorted together and shuffled: less padding, and batches of similar length.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, pool_batches: int = 1) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0
        self._pool_batches = pool_batches

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order is drawn next; the Trainer calls this, also when it resumes in a later epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 100_003 + self._epoch)
        order = torch.randperm(len(self), generator=generator).tolist()
        pool_size = self._pool_batches * self._batch_size
        for start in range(0, len(order), pool_size):
            pool = sorted(order[start : start + pool_size], key=lambda i: -self._lengths[i])
            full_batches = len(pool) // self._batch_size
            for i in torch.randperm(full_batches, generator=generator).tolist():
                yield from pool[i * self._batch_size : (i + 1) * self._batch_size]
            # A batch that is not full comes last: the Trainer cuts the order by number.
            yield from pool[full_batches * self._batch_size :]
