"""Log-likelihoods log π of the trained tokens of rows: one forward pass for training, for references and for checks.

Reference likelihoods are stored with the data (Agent Q §5.2), so a trainer needs no second model. Whether they were
computed the way the trainer computes is checked, since a difference would be mistaken for something learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
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


def count_trained(labels: Tensor) -> Tensor:
    """Count the trained tokens of each row, [B]; a row's first token is never one, since nothing predicts it."""
    return (shift_labels(labels) != IGNORE).sum(dim=1)


def trained_logps(model: Callable[..., Any], batch: Batch, *, head: torch.nn.Module, bf16: bool) -> Tensor:
    """Return log π(t_l | t_<l) of the N trained tokens of a batch, row after row, [N], in float32.

    `head` is the model's `get_output_embeddings()`, which computes logits at the N positions alone; with `bf16` matrix
    products are computed in bfloat16.
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
    on_rows: OnRows | None = None,
) -> list[tuple[float, ...]]:
    """Return log π of each trained token of each row, in the order of the rows, as the trainer would compute it.

    Rows of similar length share a forward pass of at most `batch_tokens` tokens, padding included; a longer row has a pass
    of its own. A row's result depends on the other rows only by rounding. The model, a Hugging Face causal LM or a peft
    model around one, is left in evaluation mode.
    """
    model.eval()
    logps_of_row: list[tuple[float, ...]] = [()] * len(rows)
    for indices in batches_by_length([len(r.tokens) for r in rows], batch_tokens):
        batch = {k: v.to(model.device) for k, v in collate([rows[i] for i in indices]).items()}
        logps = trained_logps(model, batch, head=model.get_output_embeddings(), bf16=bf16)
        for i, row_logps in zip(indices, logps.split(count_trained(batch["labels"]).tolist()), strict=True):
            logps_of_row[i] = tuple(row_logps.tolist())
        if on_rows:
            on_rows(len(indices))
    return logps_of_row


NOISE, ALARM = {False: 1e-5, True: 0.04}, {False: 1e-4, True: 0.1}
"""Mean |Δ log π| a token between an engine and a trainer by whether bfloat16 computes: what rounding explains, and what is
an error (measured: 1e-6 to 1e-5 in float32, 0.03 to 0.05 in bfloat16)."""


class Drift(NamedTuple):
    """The drift of stored log-likelihoods: differences Δ = recomputed − stored, of each token.

    The mean of the signed differences hides what they do to a ratio π/π_ref, so `summary` has their sizes as well.
    """

    differences: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean of |Δ|; 0 of no tokens."""
        return sum(map(abs, self.differences)) / max(1, len(self.differences))

    @property
    def worst(self) -> float:
        """Return the largest |Δ|; 0 of no tokens."""
        return max(map(abs, self.differences), default=0.0)

    def summary(self) -> dict[str, float]:
        """Return the size of the differences: the mean, root mean square, 95 % point and largest |Δ|, and the mean of Δ.

        `outside` is the share of ratios exp(Δ) outside 0.9 to 1.1.
        """
        delta = np.array(self.differences or (0.0,))
        return {
            "tokens": len(self.differences),
            "mean": self.mean,
            "rms": float(np.sqrt(np.mean(delta**2))),
            "p95": float(np.quantile(abs(delta), 0.95)),
            "worst": self.worst,
            "signed": float(delta.mean()),
            "outside": float(np.mean(abs(np.exp(delta) - 1) > 0.1)),
        }


def measure_drift(stored: Sequence[Sequence[float]], recomputed: Sequence[Sequence[float]]) -> Drift:
    """Measure the difference between stored and recomputed log-likelihoods, over all tokens of all rows.

    Raises:
        DriftError: a row has another number of tokens than stored likelihoods.
    """
    differences: list[float] = []
    for i, (old, new) in enumerate(zip(stored, recomputed, strict=True)):
        if len(old) != len(new):
            raise DriftError(
                f"row {i} of {len(stored)}: {len(old)} log-likelihoods are stored, {len(new)} tokens are trained; "
                "were they made with another tokenizer or format? Make the data again"
            )
        differences += (b - a for a, b in zip(old, new, strict=True))
    return Drift(tuple(differences))


def check_drift(
    stored: Sequence[Sequence[float]], recomputed: Sequence[Sequence[float]], *, at_most: float
) -> Drift:
    """Return the drift, and refuse to train on stored log-likelihoods if its mean is more than `at_most`.

    Raises:
        DriftError: the mean is more, or a row has another number of tokens than stored likelihoods.
    """
    drift = measure_drift(stored, recomputed)
    if not drift.mean <= at_most:
        raise DriftError(
            f"stored log-likelihoods differ from the trainer's by {drift.mean:.2g} per token (at worst "
            f"{drift.worst:.2g}), expected at most {at_most:.2g}; were they computed under another model, or in "
            "another precision? Compute them again with the trainer's settings, or raise the bound knowingly"
        )
    return drift


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
