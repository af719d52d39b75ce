"""Turn training rows into batches: the order of an epoch, the forward passes of a global batch, and a pass as tensors.

    tokens        t_0    t_1    t_2    t_3
    labels        –      –      t_2    t_3       – is IGNORE: read, not trained
    logits        z_0    z_1    z_2    z_3       z_l scores t_{l+1}: log π(t_2 | t_0 t_1) is read off z_1

A pass is packed into one sequence, in which rows that begin alike share their beginning (`prefix_trees`), or padded where the
model can't read trees. Either way a loss sees log π of every trained token, row after row.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Sampler

from eefcore.training.prefix_trees import PrefixTree, count_unique, lay_out, shared_length
from eefcore.training.rows import IGNORE, Row

I = TypeVar("I")


class Batch(NamedTuple):
    """The R rows of one forward pass, with N trained tokens, of which U are scored: those that rows share are scored once.

    Attributes:
        input_ids: [1, T] packed, or [B, L] padded.
        predictors: [U], the places in the flattened `input_ids` whose logits score a target.
        targets: [U], the tokens scored there.
        scored: [N], which of the U each trained token is, row after row.
        counts: the trained tokens of each row, N in all.
        positions: [1, T], the position of each packed token in its rows; None of padded rows.
        tree: how packed tokens attend. Padded rows need no mask: what is on the right of a token does not reach it.
    """

    input_ids: Tensor
    predictors: Tensor
    targets: Tensor
    scored: Tensor
    counts: list[int]
    positions: Tensor | None = None
    tree: PrefixTree | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on `device`."""
        return self._replace(**{k: v.to(device) for k, v in self._asdict().items() if isinstance(v, Tensor)})


def trained_places(row: Row) -> list[int]:
    """Return where the trained tokens of a row stand; its first token is never one, since nothing predicts it."""
    return [l for l, label in enumerate(row.labels) if l and label != IGNORE]


def pack(rows: Sequence[Row], *, longest: int | None = None) -> Batch:
    """Return rows as one sequence without padding, in which what they share stands once (`prefix_trees`).

    `longest` is the length of the longest row that the model is to read later, where these only try it.
    """
    layout = lay_out([_read(row) for row in rows])
    trained = [trained_places(row) for row in rows]
    number: dict[tuple[int, int], int] = {}  # of each (predictor, target)
    scored = [
        number.setdefault((int(path[l - 1]), row.labels[l]), len(number))
        for path, row, places in zip(layout.paths, rows, trained, strict=True)
        for l in places
    ]
    return Batch(
        input_ids=torch.from_numpy(layout.tokens)[None],
        predictors=torch.tensor([place for place, _ in number], dtype=torch.long),
        targets=torch.tensor([target for _, target in number], dtype=torch.long),
        scored=torch.tensor(scored, dtype=torch.long),
        counts=[*map(len, trained)],
        positions=torch.from_numpy(layout.positions)[None],
        tree=PrefixTree(layout, longest=longest),
    )


def pad(rows: Sequence[Row]) -> Batch:
    """Return rows padded on the right with 0, [B, L]."""
    read, trained = [_read(row) for row in rows], [trained_places(row) for row in rows]
    longest = max(map(len, read))
    predictors = [i * longest + l - 1 for i, places in enumerate(trained) for l in places]
    targets = [row.labels[l] for row, places in zip(rows, trained, strict=True) for l in places]
    return Batch(
        input_ids=torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in read]),
        predictors=torch.tensor(predictors, dtype=torch.long),
        targets=torch.tensor(targets, dtype=torch.long),
        scored=torch.arange(len(targets)),
        counts=[*map(len, trained)],
    )


class Passes(NamedTuple):
    """How rows become forward passes of at most `tokens` tokens: packed, where shared tokens count once, or padded."""

    packed: bool
    tokens: int

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Return the tensors of one pass."""
        return pack(rows) if self.packed else pad(rows)

    def count(self, rows: Sequence[Row]) -> int:
        """Return the number of tokens that one pass over `rows` reads, padding included."""
        read = [_read(row) for row in rows]
        return count_unique(read) if self.packed else len(read) * max(map(len, read))

    def cut(
        self, items: Sequence[I], rows: Callable[[I], Sequence[Row]], *, at_least: int = 1
    ) -> list[list[I]]:
        """Cut a global batch into passes that fit, and into `at_least` so many; an item that does not fit has its own.

        Items that begin alike stay together, padded ones that are equally long: they are sorted, and the largest pass
        is cut in two, near its middle, where the two sides share least. The sum over the batch is the same however it is cut.
        """

        def key(item: I) -> list[int]:
            return _read(rows(item)[0]) if self.packed else [max(len(row.tokens) for row in rows(item))]

        def sized(
            part: list[I],
        ) -> tuple[int, int, list[I]]:  # the largest first; single items, which stay, last
            size = self.count([row for item in part for row in rows(item)]) if len(part) > 1 else 0
            numbers.append(len(numbers))
            return -size, numbers[-1], part

        numbers: list[int] = []
        parts = [sized(sorted(items, key=key))]
        while -parts[0][0] > self.tokens or (parts[0][0] and len(parts) < at_least):
            _, _, part = heapq.heappop(parts)
            margin = max(1, len(part) // 4)
            middle = min(
                range(margin, len(part) - margin + 1),
                key=lambda k: (shared_length(key(part[k - 1]), key(part[k])), abs(2 * k - len(part))),
            )
            for half in (part[:middle], part[middle:]):
                heapq.heappush(parts, sized(half))
        return [part for _, _, part in parts]


def _read(row: Row) -> list[int]:
    """Return the tokens of a row that are read: all but the last, which predicts nothing."""
    return row.tokens[:-1] or row.tokens


class BatchSampler(Sampler[int]):
    """The order of the items in an epoch: a random permutation, each global batch sorted by length and dealt to the devices.

    Neither changes the gradient of a batch. Each device's share of a batch stands together, and has items of all lengths.
    With `pool_batches` above 1, that many batches are sorted together and shuffled: batches of similar length.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, seed: int, pool_batches: int = 1, devices: int = 1
    ) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0
        self._pool_batches, self._devices = pool_batches, devices

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
                batch = pool[i * self._batch_size : (i + 1) * self._batch_size]
                for device in range(self._devices):
                    yield from batch[device :: self._devices]
            # A batch that is not full comes last: the Trainer cuts the order by number.
            yield from pool[full_batches * self._batch_size :]
