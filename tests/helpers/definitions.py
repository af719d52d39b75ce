"""Losses as the papers define them, for comparison with the library's."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from eefcore.training.losses import shift_labels, token_logp
from eefcore.training.rows import IGNORE


def sequence_logp(logits: Tensor, labels: Tensor) -> Tensor:
    """Return Σ_l m_l log π(t_l | t_<l) of each row, [B]; logits [B, L, V], labels [B, L] not shifted."""
    logps = token_logp(logits.flatten(0, 1), shift_labels(labels).flatten())
    return logps.view_as(labels).sum(dim=1)


def sft_loss(logits: Tensor, labels: Tensor, n_trained_tokens: Tensor | int) -> Tensor:
    """Return −Σ_l m_l log π(t_l | t_<l) over all rows, per trained token (EEF §3.2); logits [B, L, V], labels [B, L]."""
    scored, targets = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return cross_entropy(scored, targets, ignore_index=IGNORE, reduction="sum") / n_trained_tokens
