"""One forward over many slots: the new tokens of all, packed into one row, each seeing its own episode.

    slot     3 | 7 | 9 | 0 0 0 0 0 | 5 5 5
    token    w | w | w | r e a d s | t h e …      w: one token just written, the rest are read

The linear layers never see padding. `transformers` hands queries, keys and values of each layer to the
attention function below, which stores the keys where they belong and lets each token look at its own
slot, up to itself. Slots that read one token share calls, BLOCK neighbours each; the others take a call
each. Query heads that share a key head are folded into the query axis, so shared keys are never copied.

Any model that goes through transformers' attention interface works: Llama, Mistral, Qwen, Phi, GPT-2 and
most others. Sliding windows shorter than the context, soft-capped scores, attention sinks and learned
biases are refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from eefcore.errors import PolicyError
from eefcore.policies.hf_engine.kv_cache import BLOCK, Slots, Span

ATTENTION = "eefcore_slots"
_REFUSED = ("softcap", "s_aux", "position_bias")


class Reading:
    """What one forward reads: one token at `at` for each slot of `ones` (ascending), then `spans`.

    `slot` and `position` say of each packed token where it goes.
    """

    def __init__(
        self,
        slots: Slots,
        ones: npt.NDArray[np.int64],
        at: npt.NDArray[np.int64],
        spans: Sequence[Span],
        device: torch.device,
    ) -> None:
        # Few scattered rows of a wide range are cheaper one by one than as a range full of idle rows.
        if len(ones) and 4 * len(ones) < ones[-1] + 1:
            spans = [*(Span(int(s), int(p), int(p) + 1) for s, p in zip(ones, at, strict=True)), *spans]
            ones, at = ones[:0], at[:0]
        counts = [s.stop - s.start for s in spans]
        self.slot = np.concatenate([ones, np.repeat([s.slot for s in spans], counts)]).astype(np.int64)
        self.position = np.concatenate([at, *(np.arange(s.start, s.stop) for s in spans)]).astype(np.int64)
        self.context = slots.context
        slots.reserve(int(self.position.max()) + 1)
        self._slots, self._spans, self._counts, self._device = slots, spans, counts, device
        self._blocks = _blocks(ones, at, device)
        self._n_ones, self._n_rows = len(ones), int(ones[-1]) + 1 if len(ones) else 0
        self._ones = None if self._n_ones == self._n_rows else torch.from_numpy(ones).to(device)
        self._where: dict[tuple[int, int], torch.Tensor] = {}
        self._span_masks: dict[tuple[int, torch.dtype], list[torch.Tensor]] = {}

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """[1, tokens, heads, head size] from query, key, value [1, heads, tokens, head size]."""
        keys, values = self._slots.store(layer, key, value)
        n_key_heads, room = keys.shape[1], keys.shape[2]
        where = self._index(n_key_heads, room)
        for held, new in ((keys, key), (values, value)):
            size = held.shape[-1]
            held.view(-1, size).index_copy_(0, where, new[0].transpose(0, 1).reshape(-1, size))
        query = query[0]
        out = query.new_empty(query.shape[1], query.shape[0], values.shape[-1])
        if self._n_ones:
            out[: self._n_ones] = self._attend_ones(query[:, : self._n_ones], keys, values, scale)
        masks, at = self._masks(query.shape[0] // n_key_heads, query.dtype), self._n_ones
        for span, n, mask in zip(self._spans, self._counts, masks, strict=True):
            folded = query[:, at : at + n].reshape(1, n_key_heads, -1, query.shape[-1])
            seen = slice(span.slot, span.slot + 1), slice(None), slice(span.stop)
            said = scaled_dot_product_attention(folded, keys[seen], values[seen], attn_mask=mask, scale=scale)
            out[at : at + n] = said.view(query.shape[0], n, -1).transpose(0, 1)
            at += n
        return out[None]

    def _attend_ones(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """[rows, heads, head size] from query [heads, rows, head size], block by block."""
        folded = query.transpose(0, 1).reshape(query.shape[1], keys.shape[1], -1, query.shape[2])
        if self._ones is not None:
            scattered = folded.new_zeros(self._n_rows, *folded.shape[1:])
            folded = scattered.index_copy_(0, self._ones, folded)
        said = folded.new_zeros(*folded.shape[:3], values.shape[-1])
        for rows, width, mask in self._blocks:
            seen = rows, slice(None), slice(width)
            said[rows] = scaled_dot_product_attention(
                folded[rows], keys[seen], values[seen], attn_mask=mask.to(query.dtype), scale=scale
            )
        return (said if self._ones is None else said[self._ones]).flatten(1, 2)

    def _index(self, n_heads: int, room: int) -> torch.Tensor:
        """Where each (token, key head) lies in a layer's storage, flattened but for the head size."""
        if (n_heads, room) not in self._where:
            first = self.slot * n_heads * room + self.position
            index = first[:, None] + np.arange(n_heads) * room
            self._where[n_heads, room] = torch.from_numpy(index.ravel()).to(self._device)
        return self._where[n_heads, room]

    def _masks(self, group: int, dtype: torch.dtype) -> list[torch.Tensor]:
        """For each span [group·tokens, stop], 0 or -inf: a token sees its slot up to itself."""
        if (group, dtype) not in self._span_masks:
            unseen = torch.full((), -torch.inf, dtype=dtype, device=self._device)
            self._span_masks[group, dtype] = [
                unseen.repeat(n, span.stop).triu_(span.start + 1).repeat(group, 1)
                for span, n in zip(self._spans, self._counts, strict=True)
            ]
        return self._span_masks[group, dtype]


class _Block(NamedTuple):
    """Neighbouring slots that share a call: which, how wide, and a mask [rows, 1, 1, width] of 0 and -inf."""

    rows: slice
    width: int
    mask: torch.Tensor


def _blocks(ones: npt.NDArray[np.int64], at: npt.NDArray[np.int64], device: torch.device) -> list[_Block]:
    """The blocks in which any slot reads its one token."""
    length = np.zeros(int(ones[-1]) + 1 if len(ones) else 0, np.int64)
    length[ones] = at + 1
    blocks = []
    for first in range(0, len(length), BLOCK):
        lengths = length[first : first + BLOCK]
        if width := int(lengths.max()):
            # An idle row among them looks at its position 0, and what it says is dropped.
            unseen = np.arange(width) >= np.maximum(lengths, 1)[:, None]
            mask = np.where(unseen, np.float32(-np.inf), np.float32(0))[:, None, None]
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
    reading: Reading | None = None,
    **how: Any,  # the interface of transformers: each model says more, in its own words
) -> tuple[torch.Tensor, None]:
    """Attention over slots when a reading is given, and transformers' own otherwise."""
    if reading is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **how
        )
    refused = [name for name in _REFUSED if how.get(name) is not None]
    window = how.get("sliding_window")
    if window is not None and window < reading.context:
        refused.append(f"sliding_window={window} under a context of {reading.context}")
    if refused:
        raise PolicyError(
            f"{type(module).__name__} attends with {', '.join(refused)}, which the slot cache can't keep; "
            "serve this model with vLLM (policy: vllm:… or openai:…), or give a shorter context"
        )
    return reading.attend(module.layer_idx, query, key, value, scaling), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
