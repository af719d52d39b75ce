"""Read rows that begin alike as one tree, so that a beginning which they share is computed once, and exactly.

    rows          a b c d     a b c e f     a b g          the sorted rows; each adds what it does not share with
    tree          a b c d           e f         g          the one before, so that tokens stand depth-first:
    tokens        a b c d e f g     [T]
    positions     0 1 2 3 3 4 2     [T], the depth of each token, which is its place in its rows
    ends          7 7 6 4 6 6 7     [T], where the tokens that continue it end

A token attends to itself and to those that it continues: i sees j iff j ≤ i < ends[j]. In a causal model nothing else
reaches the hidden state of a token, so log π of every row and its gradient are those of the row by itself, but for rounding;
so are rows that share nothing, which are packed without padding. Trees are what preference pairs, search and EEF's solutions
are made of; sharing in depth follows Tree Training (arXiv 2511.00413), here with one attention call for a few neighbouring
branches (`_cut_blocks`).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

from eefcore.errors import PolicyError

ATTENTION = "eefcore_prefix_trees"

_CALL = 64 * 64
"""What an attention call costs beside its scores, in scores (measured: 0.06 to 0.15 ms, and 20 ns a score at 4 heads)."""

_WIDEST = 512
"""The most tokens of several branches that share an attention call; a mask of more hides more than calls cost."""

_REFUSED = ("softcap", "s_aux", "position_bias")

Ints = npt.NDArray[np.int64]


def shared_length(one: list[int], other: list[int]) -> int:
    """Return how many tokens two sequences begin with alike."""
    n = min(len(one), len(other))
    if one[:n] == other[:n]:
        return n
    return int(np.argmin(np.equal(one[:n], other[:n])))


def count_unique(sequences: Sequence[list[int]]) -> int:
    """Return T, the number of tokens of the prefix tree of `sequences`."""
    ordered = sorted(sequences)
    return sum(map(len, ordered)) - sum(map(shared_length, ordered, ordered[1:]))


class Layout(NamedTuple):
    """Where the tokens of a prefix tree stand.

    Attributes:
        tokens: [T], depth-first.
        positions: [T], the depth of each.
        ends: [T], where the part of the tree below each token ends.
        paths: the places of the tokens of each sequence, in the order in which they were given.
    """

    tokens: Ints
    positions: Ints
    ends: Ints
    paths: list[Ints]


def sees(token: Ints, other: Ints, ends: Ints) -> npt.NDArray[np.bool_]:
    """Return whether a token attends to another: to itself, and to those that it continues."""
    return (other <= token) & (token < ends[other])


def lay_out(sequences: Sequence[list[int]]) -> Layout:
    """Return the prefix tree of `sequences`; equal ones, and one that begins another, add no token."""
    tokens: list[int] = []
    paths: list[Ints] = [np.empty(0, np.int64)] * len(sequences)
    ends = np.zeros(sum(map(len, sequences)), np.int64)
    before, path = list[int](), np.empty(0, np.int64)
    for i in sorted(range(len(sequences)), key=lambda i: sequences[i]):
        shared = shared_length(before, sequences[i])
        ends[path[shared:]] = len(tokens)  # nothing continues them any more
        added = np.arange(len(tokens), len(tokens) + len(sequences[i]) - shared)
        tokens += sequences[i][shared:]
        before, path = sequences[i], np.concatenate([path[:shared], added])
        paths[i] = path
    ends[path] = len(tokens)
    positions = np.zeros(len(tokens), np.int64)
    for path in paths:
        positions[path] = np.arange(len(path))
    return Layout(np.array(tokens, np.int64), positions, ends[: len(tokens)], paths)


class _Block(NamedTuple):
    """Neighbouring tokens that share an attention call: how many, the pieces of the tree that they see, and their mask.

    `hidden` is [tokens, tokens seen], or None where the block is one path from a root on, so that each sees all before it.
    """

    tokens: int
    pieces: list[int]
    hidden: Tensor | None


class PrefixTree:
    """The attention of T tokens that stand as `Layout` says. `longest` is the longest row that the model is to read."""

    def __init__(self, layout: Layout, *, longest: int | None = None) -> None:
        positions, ends = layout.positions, layout.ends
        places = np.arange(len(positions))
        self.longest = longest or int(positions.max()) + 1
        branches = np.flatnonzero(np.diff(positions, prepend=-2) != 1)
        ranges = _cut_blocks([*branches.tolist(), len(positions)], positions)
        # What a block sees before itself is what its first token continues.
        seen = [np.flatnonzero((places < start) & (ends > start)) for start, _ in ranges]
        # The tree is cut into pieces where one of these runs begins or ends, once for all blocks: gradients add up by piece.
        is_edge = np.zeros(len(positions) + 1, bool)
        for (start, _), before in zip(ranges, seen, strict=True):
            is_edge[[start, *before[np.diff(before, prepend=-2) != 1]]] = True
            is_edge[before[np.diff(before, append=len(positions) + 1) != 1] + 1] = True
        is_edge[[0, -1]] = True
        piece_of = np.cumsum(is_edge[:-1]) - 1
        self._pieces = np.diff(np.flatnonzero(is_edge)).tolist()
        self._blocks = []
        for (start, stop), before in zip(ranges, seen, strict=True):
            keys = np.concatenate([before, places[start:stop]])
            is_path = not len(before) and bool(np.all(np.diff(positions[start:stop]) == 1))
            hidden = None if is_path else torch.from_numpy(~sees(places[start:stop, None], keys, ends))
            self._blocks.append(_Block(stop - start, np.unique(piece_of[keys]).tolist(), hidden))
        self._masks: dict[tuple[torch.device, torch.dtype], list[Tensor | None]] = {}

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """Return what each token reads, [1, T, heads, size], from query [1, heads, T, size] and key, value alike."""
        queries = query.split([block.tokens for block in self._blocks], dim=2)
        keys, values = key.split(self._pieces, dim=2), value.split(self._pieces, dim=2)
        read = [
            scaled_dot_product_attention(
                q,
                torch.cat([keys[i] for i in block.pieces], dim=2),
                torch.cat([values[i] for i in block.pieces], dim=2),
                attn_mask=mask,
                is_causal=mask is None,
                scale=scale,
            )
            for q, block, mask in zip(queries, self._blocks, self._masks_like(query), strict=True)
        ]
        return torch.cat(read, dim=2).transpose(1, 2)

    def _masks_like(self, query: Tensor) -> list[Tensor | None]:
        """Return the masks, 0 or -inf, which all layers share."""
        kind = query.device, query.dtype
        if kind not in self._masks:
            self._masks[kind] = [
                None if b.hidden is None else _as_mask(b.hidden, query) for b in self._blocks
            ]
        return self._masks[kind]


def _as_mask(hidden: Tensor, query: Tensor) -> Tensor:
    return torch.zeros(hidden.shape, dtype=query.dtype).masked_fill_(hidden, -torch.inf).to(query.device)


def _cut_blocks(starts: Sequence[int], positions: Ints) -> list[tuple[int, int]]:
    """Return the blocks [start, stop) of neighbouring branches whose attention takes the least time together.

    A block of n tokens below d others computes n (d + n) scores, of which a mask hides some, and is one more call. `starts`
    are those of the branches, and T.
    """
    best = [(0.0, 0)]  # of the branches before each one: the least cost, and where their last block starts
    for k in range(1, len(starts)):
        candidates = []
        for j in range(k - 1, -1, -1):
            n = starts[k] - starts[j]
            if j < k - 1 and n > _WIDEST:
                break
            candidates.append((best[j][0] + _CALL + n * (int(positions[starts[j]]) + n), j))
        best.append(min(candidates))
    blocks, k = [], len(starts) - 1
    while k:
        j = best[k][1]
        blocks.append((starts[j], starts[k]))
        k = j
    return blocks[::-1]


@contextmanager
def tree_attention(model: Any) -> Generator[None]:
    """Let `model` read prefix trees, passed as `prefix_tree`; whatever else it reads, it reads as before."""
    before = model.config._attn_implementation
    model.set_attn_implementation(ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    prefix_tree: PrefixTree | None = None,
    **options: Any,  # the interface of transformers: models pass options of their own
) -> tuple[Tensor, None]:
    """Attend along a prefix tree if one is read, and as transformers does otherwise."""
    if prefix_tree is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    refused = [name for name in _REFUSED if options.get(name) is not None]
    window = options.get("sliding_window")
    if window is not None and window < prefix_tree.longest:
        refused.append(f"sliding_window={window} in rows of {prefix_tree.longest}")
    if dropout:
        refused.append(f"dropout={dropout}")
    if refused:
        raise PolicyError(
            f"{type(module).__name__} attends with {', '.join(refused)}: its rows can't be read as a tree"
        )
    groups = query.shape[1] // key.shape[1]
    return prefix_tree.attend(query, repeat_kv(key, groups), repeat_kv(value, groups), scaling), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Return no mask: a tree has its own, and rows that are padded on the right need none."""


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, _no_mask)
