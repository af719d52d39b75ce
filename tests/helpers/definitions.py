"""Losses as the papers define them, for comparison with the library's."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from eefcore.training.rows import IGNORE


def sequence_logp(logits: Tensor, labels: Tensor) -> Tensor:
    """Return Σ_l m_l log π(t_l | t_<l) of each row, [B]; logits [B, L, V], labels [B, L] not shifted."""
    losses = cross_entropy(logits[:, :-1].float().mT, labels[:, 1:], ignore_index=IGNORE, reduction="none")
    return -losses.sum(dim=1)


def sft_loss(logits: Tensor, labels: Tensor, n_trained_tokens: Tensor | int) -> Tensor:
    """Return −Σ_l m_l log π(t_l | t_<l) over all rows, per trained token (EEF §3.2); logits [B, L, V], labels [B, L]."""
    scored, targets = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return cross_entropy(scored, targets, ignore_index=IGNORE, reduction="sum") / n_trained_tokens
