"""Rows as tensors, and which of them share a forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler

from eefcore.training.rows import IGNORE, Row


def collate(rows: Sequence[Row], pad_id: int) -> dict[str, Tensor]:
    """`input_ids` and `labels`, [B, L], filled up on the right with `pad_id` and IGNORE.

    There is no attention mask: a causal model never looks ahead, so nothing sees what is on the right.
    """
    longest = max(len(r.tokens) for r in rows)

    def filled(values: Sequence[int], fill: int) -> list[int]:
        return [*values, *[fill] * (longest - len(values))]

    return {
        "input_ids": torch.tensor([filled(r.tokens, pad_id) for r in rows]),
        "labels": torch.tensor([filled(r.labels, IGNORE) for r in rows]),
    }


def alike(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of rows of like length, the longest first, cut so that a padded batch has `batch_tokens` at most."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // lengths[order[start]])
        yield order[start : start + size]
        start += size


class Batches(Sampler[int]):
    """The order of the rows in an epoch: a random permutation, each global batch sorted by length.

    Sorting inside a batch leaves the batch, and so its gradient, what it was, and fills its
    micro-batches with rows of like length, which saves padding. With `grouped` above 1, that many
    batches are sorted together and shuffled: less padding, and batches of like length.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, grouped: int = 1) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0
        self._grouped = grouped

    def set_epoch(self, epoch: int) -> None:
        """The Trainer says which epoch comes, also when it resumes in a later one."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 100_003 + self._epoch)
        order = torch.randperm(len(self), generator=generator).tolist()
        pool = self._grouped * self._batch_size
        for start in range(0, len(order), pool):
            alike = sorted(order[start : start + pool], key=lambda i: -self._lengths[i])
            whole = len(alike) // self._batch_size
            for i in torch.randperm(whole, generator=generator).tolist():
                yield from alike[i * self._batch_size : (i + 1) * self._batch_size]
            # A batch that is not full comes last: the Trainer cuts the order by number.
            yield from alike[whole * self._batch_size :]
