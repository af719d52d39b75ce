"""log π of what rows train on, token by token: one forward for training, for reference likelihoods and for checks.

Reference likelihoods are stored with the data (Agent Q §5.2), so a trainer needs no second model; that they were
computed the way the trainer computes is checked, since a difference would pass for something learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eefcore.errors import DriftError
from eefcore.training.batches import alike, collate
from eefcore.training.losses import predicted, token_logp
from eefcore.training.rows import IGNORE, Row

Batch = Mapping[str, Tensor]
"""`input_ids` and `labels` [B, L], and what else a loss needs of its rows."""


def n_trained(labels: Tensor) -> Tensor:
    """Trained tokens of each row, [B]; a row's first token is never one, since nothing predicts it."""
    return (predicted(labels) != IGNORE).sum(dim=1)


def trained_logps(model: Callable[..., Any], batch: Batch, *, head: torch.nn.Module, bf16: bool) -> Tensor:
    """log π(t_l | t_<l) of the N trained tokens of a batch, row after row, [N], in float32.

    Args:
        model: a Hugging Face causal LM, or what a trainer has wrapped around it.
        head: its `get_output_embeddings()`, which is asked for the N positions alone.
        bf16: matrix products in bfloat16.
    """
    targets = predicted(batch["labels"])
    trained = targets != IGNORE
    device = batch["input_ids"].device.type
    with torch.autocast(device, torch.bfloat16, enabled=bf16), _logits_where(trained, head):
        logits = model(input_ids=batch["input_ids"], use_cache=False).logits[0]
    return token_logp(logits, targets[trained].to(logits.device))


@torch.no_grad()
def token_logps(
    model: Any,
    rows: Sequence[Row],
    *,
    pad_id: int,
    batch_tokens: int,
    bf16: bool = False,
    on_rows: Callable[[int], None] = lambda n: None,
) -> list[tuple[float, ...]]:
    """log π of each trained token of each row, in the order of the rows, as the trainer would compute it.

    Rows of like length share a forward pass, whose results do not depend on their company but for rounding.

    Args:
        model: a Hugging Face causal LM, or a peft model around one; it is left in evaluation mode.
        batch_tokens: tokens of one forward pass, padding included; a longer row has one of its own.
        on_rows: hears how many rows are done, after each pass.
    """
    model.eval()
    out: list[tuple[float, ...]] = [()] * len(rows)
    for together in alike([len(r.tokens) for r in rows], batch_tokens):
        batch = {k: v.to(model.device) for k, v in collate([rows[i] for i in together], pad_id).items()}
        logps = trained_logps(model, batch, head=model.get_output_embeddings(), bf16=bf16)
        for i, own in zip(together, logps.split(n_trained(batch["labels"]).tolist()), strict=True):
            out[i] = tuple(own.tolist())
        on_rows(len(together))
    return out


class Drift(NamedTuple):
    """By how much recomputed log-likelihoods differ from stored ones, in absolute value, a token."""

    mean: float
    worst: float


def drift(stored: Sequence[Sequence[float]], recomputed: Sequence[Sequence[float]]) -> Drift:
    """The difference over all tokens of all rows.

    Raises:
        DriftError: they are not of the same tokens.
    """
    for i, (old, new) in enumerate(zip(stored, recomputed, strict=True)):
        if len(old) != len(new):
            raise DriftError(
                f"row {i} of {len(stored)}: {len(old)} log-likelihoods are stored, {len(new)} tokens are trained; "
                "were they made with another tokenizer or format? Make the data again"
            )
    each = [
        abs(a - b) for old, new in zip(stored, recomputed, strict=True) for a, b in zip(old, new, strict=True)
    ]
    return Drift(sum(each) / len(each), max(each)) if each else Drift(0.0, 0.0)


def refuse_drift(
    stored: Sequence[Sequence[float]], recomputed: Sequence[Sequence[float]], *, at_most: float
) -> Drift:
    """The drift, if its mean is at most `at_most`: the gate before training on stored log-likelihoods.

    Raises:
        DriftError: it is more, or they are not of the same tokens.
    """
    found = drift(stored, recomputed)
    if not found.mean <= at_most:
        raise DriftError(
            f"stored log-likelihoods differ from the trainer's by {found.mean:.2g} a token (at worst "
            f"{found.worst:.2g}), expected at most {at_most:.2g}; were they computed under another model, or in "
            "another precision? Compute them again with the trainer's settings, or raise the bound knowingly"
        )
    return found


@contextmanager
def _logits_where(trained: Tensor, head: torch.nn.Module) -> Iterator[None]:
    """Inside, the model's logits are [1, N, V]: those of the N positions where `trained` [B, L] is true.

    Nothing else is asked of the head, so the loss is exactly the same. A hook on its input works for every
    causal LM, and keeps what some models do to the logits afterwards (Gemma caps them, Cohere scales them).
    """

    def keep(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][trained.to(inputs[0].device)].unsqueeze(0),)

    hook = head.register_forward_pre_hook(keep)
    try:
        yield
    finally:
        hook.remove()
