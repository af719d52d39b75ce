"""Log-likelihoods log π of the trained tokens of rows: one forward pass for training, for references and for checks.

Reference likelihoods are stored with the data (Agent Q §5.2), so a trainer needs no second model. Whether they were
computed the way the trainer computes is checked, since a difference would be mistaken for something learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eefcore.errors import DriftError
from eefcore.training.batches import batches_by_length, collate
from eefcore.training.losses import shift_labels, token_logp
from eefcore.training.rows import IGNORE, Row

Batch = Mapping[str, Tensor]
"""`input_ids` and `labels` [B, L], and what else a loss needs of its rows."""

OnRows = Callable[[int], None]
"""A function that is told how many rows are done, after each forward pass."""


def ignore_rows(n: int) -> None:
    """Do nothing: the `OnRows` of a caller that shows no progress."""


def count_trained(labels: Tensor) -> Tensor:
    """Count the trained tokens of each row, [B]; a row's first token is never one, since nothing predicts it."""
    return (shift_labels(labels) != IGNORE).sum(dim=1)


def trained_logps(model: Callable[..., Any], batch: Batch, *, head: torch.nn.Module, bf16: bool) -> Tensor:
    """Return log π(t_l | t_<l) of the N trained tokens of a batch, row after row, [N], in float32.

    Args:
        model: a Hugging Face causal LM, or what a trainer has wrapped around it.
        batch: see `Batch`.
        head: the model's `get_output_embeddings()`, which computes logits at the N positions alone.
        bf16: compute matrix products in bfloat16.
    """
    targets = shift_labels(batch["labels"])
    trained = targets != IGNORE
    device = batch["input_ids"].device.type
    with torch.autocast(device, torch.bfloat16, enabled=bf16), _logits_only_at(trained, head):
        logits = model(input_ids=batch["input_ids"], use_cache=False).logits[0]
    return token_logp(logits, targets[trained].to(logits.device))


@torch.no_grad()
def token_logps(
    model: Any,
    rows: Sequence[Row],
    *,
    batch_tokens: int,
    bf16: bool = False,
    on_rows: OnRows = ignore_rows,
) -> list[tuple[float, ...]]:
    """Return log π of each trained token of each row, in the order of the rows, as the trainer would compute it.

    Rows of similar length share a forward pass; a row's result depends on the other rows only by rounding.

    Args:
        model: a Hugging Face causal LM, or a peft model around one; it is left in evaluation mode.
        rows: what is scored.
        batch_tokens: tokens of one forward pass, padding included; a longer row has a pass of its own.
        bf16: compute matrix products in bfloat16.
        on_rows: is told how many rows are done, after each pass.
    """
    model.eval()
    logps_of_row: list[tuple[float, ...]] = [()] * len(rows)
    for indices in batches_by_length([len(r.tokens) for r in rows], batch_tokens):
        batch = {k: v.to(model.device) for k, v in collate([rows[i] for i in indices]).items()}
        logps = trained_logps(model, batch, head=model.get_output_embeddings(), bf16=bf16)
        for i, row_logps in zip(indices, logps.split(count_trained(batch["labels"]).tolist()), strict=True):
            logps_of_row[i] = tuple(row_logps.tolist())
        on_rows(len(indices))
    return logps_of_row


class Drift(NamedTuple):
    """The absolute difference between recomputed and stored log-likelihoods per token: its mean, and at worst."""

    mean: float
    worst: float


def measure_drift(stored: Sequence[Sequence[float]], recomputed: Sequence[Sequence[float]]) -> Drift:
    """Measure the difference between stored and recomputed log-likelihoods, over all tokens of all rows.

    Raises:
        DriftError: a row has another number of tokens than stored likelihoods.
    """
    for i, (old, new) in enumerate(zip(stored, recomputed, strict=True)):
        if len(old) != len(new):
            raise DriftError(
                f"row {i} of {len(stored)}: {len(old)} log-likelihoods are stored, {len(new)} tokens are trained; "
                "were they made with another tokenizer or format? Make the data again"
            )
    differences = [
        abs(a - b) for old, new in zip(stored, recomputed, strict=True) for a, b in zip(old, new, strict=True)
    ]
    if not differences:
        return Drift(0.0, 0.0)
    return Drift(sum(differences) / len(differences), max(differences))


def check_drift(
    stored: Sequence[Sequence[float]], recomputed: Sequence[Sequence[float]], *, at_most: float
) -> Drift:
    """Return the drift, and refuse to train on stored log-likelihoods if its mean is more than `at_most`.

    Raises:
        DriftError: the mean is more, or a row has another number of tokens than stored likelihoods.
    """
    found = measure_drift(stored, recomputed)
    if not found.mean <= at_most:
        raise DriftError(
            f"stored log-likelihoods differ from the trainer's by {found.mean:.2g} per token (at worst "
            f"{found.worst:.2g}), expected at most {at_most:.2g}; were they computed under another model, or in "
            "another precision? Compute them again with the trainer's settings, or raise the bound knowingly"
        )
    return found


@contextmanager
def _logits_only_at(trained: Tensor, head: torch.nn.Module) -> Generator[None]:
    """Let the model compute logits at the N positions where `trained` [B, L] is true alone: [1, N, V].

    The head computes nothing else, and the loss is exactly the same. A hook on its input works for every
    causal LM, and keeps what some models do to the logits afterwards (Gemma caps them, Cohere scales them).
    """

    def keep(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][trained.to(inputs[0].device)].unsqueeze(0),)

    hook = head.register_forward_pre_hook(keep)
    try:
        yield
    finally:
        hook.remove()
