"""Compute attention over many slots in one forward pass: new tokens of all episodes in one row, each seeing its own episode.

    slot     3 | 7 | 9 | 0 0 0 0 0 | 5 5 5
    token    w | w | w | r e a d s | t h e …      w: one token just written; of slots 0 and 5 several are read

The linear layers never see padding. `transformers` passes queries, keys and values of each layer to the
attention function below, which stores the keys in their slot's cache and lets each token attend to its own
slot, up to itself. Slots that read one token share calls, BLOCK neighbours each; the others take a call
each. Query heads that share a key head are folded into the query axis, so shared keys are never copied.

Any model that goes through transformers' attention interface works. Sliding windows shorter than the context,
soft-capped scores, attention sinks and learned biases are refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from eefcore.errors import PolicyError
from eefcore.policies.hf_engine.kv_cache import BLOCK, KVCache, Span

ATTENTION = "eefcore_slots"
_REFUSED = ("softcap", "s_aux", "position_bias")


class PackedBatch:
    """The tokens that one forward pass reads, packed into one row, and their attention.

    First comes one token for each slot of `single_slots` (ascending), at `single_positions`; then those of `spans`.
    `slot` and `position` give the place of each packed token.
    """

    def __init__(
        self,
        cache: KVCache,
        single_slots: npt.NDArray[np.int64],
        single_positions: npt.NDArray[np.int64],
        spans: Sequence[Span],
        device: torch.device,
    ) -> None:
        # Few scattered rows of a wide range are cheaper one by one than as a range full of idle rows.
        if len(single_slots) and 4 * len(single_slots) < single_slots[-1] + 1:
            singles = zip(single_slots, single_positions, strict=True)
            spans = [*(Span(int(s), int(p), int(p) + 1) for s, p in singles), *spans]
            single_slots, single_positions = single_slots[:0], single_positions[:0]
        counts = [s.stop - s.start for s in spans]
        slots = [single_slots, np.repeat([s.slot for s in spans], counts)]
        positions = [single_positions, *(np.arange(s.start, s.stop) for s in spans)]
        self.slot, self.position = (np.concatenate(x).astype(np.int64) for x in (slots, positions))
        self.context = cache.context
        cache.reserve(int(self.position.max()) + 1)
        self._cache, self._spans, self._counts, self._device = cache, spans, counts, device
        self._blocks = _make_blocks(single_slots, single_positions, device)
        self._n_singles = len(single_slots)
        self._n_rows = int(single_slots[-1]) + 1 if len(single_slots) else 0
        has_gaps = self._n_singles != self._n_rows
        self._scattered = torch.from_numpy(single_slots).to(device) if has_gaps else None
        self._storage_index: dict[tuple[int, int], torch.Tensor] = {}
        self._span_masks: dict[tuple[int, torch.dtype], list[torch.Tensor]] = {}

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """Store key and value, and attend: [1, tokens, heads, head size] from query, key, value [1, heads, tokens, size]."""
        keys, values = self._cache.layer(layer, key, value)
        n_key_heads, n_positions = keys.shape[1], keys.shape[2]
        index = self._index(n_key_heads, n_positions)
        for storage, new in ((keys, key), (values, value)):
            size = storage.shape[-1]
            storage.view(-1, size).index_copy_(0, index, new[0].transpose(0, 1).reshape(-1, size))
        query = query[0]
        out = query.new_empty(query.shape[1], query.shape[0], values.shape[-1])
        if self._n_singles:
            out[: self._n_singles] = self._attend_singles(query[:, : self._n_singles], keys, values, scale)
        masks, start = self._masks(query.shape[0] // n_key_heads, query.dtype), self._n_singles
        for span, n, mask in zip(self._spans, self._counts, masks, strict=True):
            folded = query[:, start : start + n].reshape(1, n_key_heads, -1, query.shape[-1])
            visible = slice(span.slot, span.slot + 1), slice(None), slice(span.stop)
            attended = scaled_dot_product_attention(
                folded, keys[visible], values[visible], attn_mask=mask, scale=scale
            )
            out[start : start + n] = attended.view(query.shape[0], n, -1).transpose(0, 1)
            start += n
        return out[None]

    def _attend_singles(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """Attend for the single tokens, block by block: [rows, heads, head size] from query [heads, rows, head size]."""
        folded = query.transpose(0, 1).reshape(query.shape[1], keys.shape[1], -1, query.shape[2])
        if self._scattered is not None:
            rows_of_slots = folded.new_zeros(self._n_rows, *folded.shape[1:])
            folded = rows_of_slots.index_copy_(0, self._scattered, folded)
        attended = folded.new_zeros(*folded.shape[:3], values.shape[-1])
        for rows, width, mask in self._blocks:
            visible = rows, slice(None), slice(width)
            attended[rows] = scaled_dot_product_attention(
                folded[rows], keys[visible], values[visible], attn_mask=mask.to(query.dtype), scale=scale
            )
        return (attended if self._scattered is None else attended[self._scattered]).flatten(1, 2)

    def _index(self, n_heads: int, n_positions: int) -> torch.Tensor:
        """Return the place of each (token, key head) in a layer's storage, flattened but for the head size."""
        if (n_heads, n_positions) not in self._storage_index:
            first = self.slot * n_heads * n_positions + self.position
            index = first[:, None] + np.arange(n_heads) * n_positions
            self._storage_index[n_heads, n_positions] = torch.from_numpy(index.ravel()).to(self._device)
        return self._storage_index[n_heads, n_positions]

    def _masks(self, group: int, dtype: torch.dtype) -> list[torch.Tensor]:
        """Return the mask of each span, [group·tokens, stop], 0 or -inf: a token sees its slot up to itself."""
        if (group, dtype) not in self._span_masks:
            hidden = torch.full((), -torch.inf, dtype=dtype, device=self._device)
            self._span_masks[group, dtype] = [
                hidden.repeat(n, span.stop).triu_(span.start + 1).repeat(group, 1)
                for span, n in zip(self._spans, self._counts, strict=True)
            ]
        return self._span_masks[group, dtype]


class _Block(NamedTuple):
    """Neighbouring slots that share an attention call: their range, their width, and a mask [rows, 1, 1, width] of 0 and -inf."""

    rows: slice
    width: int
    mask: torch.Tensor


def _make_blocks(
    slots: npt.NDArray[np.int64], positions: npt.NDArray[np.int64], device: torch.device
) -> list[_Block]:
    """Return the blocks in which some slot reads a single token."""
    length = np.zeros(int(slots[-1]) + 1 if len(slots) else 0, np.int64)
    length[slots] = positions + 1
    blocks = []
    for first in range(0, len(length), BLOCK):
        lengths = length[first : first + BLOCK]
        if width := int(lengths.max()):
            # An idle row of a block attends to its position 0, and its output is dropped.
            hidden = np.arange(width) >= np.maximum(lengths, 1)[:, None]
            mask = np.where(hidden, np.float32(-np.inf), np.float32(0))[:, None, None]
            rows = slice(first, first + len(lengths))
            blocks.append(_Block(rows, width, torch.from_numpy(mask).to(device)))
    return blocks


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packed_batch: PackedBatch | None = None,
    **options: Any,  # the interface of transformers: models pass options of their own
) -> tuple[torch.Tensor, None]:
    """Attend over slots if the forward pass is of a `PackedBatch`, and as transformers does otherwise."""
    if packed_batch is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    refused = [name for name in _REFUSED if options.get(name) is not None]
    window = options.get("sliding_window")
    if window is not None and window < packed_batch.context:
        refused.append(f"sliding_window={window} under a context of {packed_batch.context}")
    if refused:
        raise PolicyError(
            f"{type(module).__name__} attends with {', '.join(refused)}, which the slot cache can't keep; "
            "serve this model with vLLM (policy: vllm:… or openai:…), or give a shorter context"
        )
    layer = cast(int, module.layer_idx)
    return packed_batch.attend(layer, query, key, value, scaling), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
