"""log π of what was written, and the loss of behaviour cloning and fine-tuning (EEF §3.2, L_SFT).

    tokens        t_0    t_1    t_2    t_3
    labels        –      –      t_2    t_3       – is IGNORE: read, not trained
    logits        z_0    z_1    z_2    z_3       z_l scores t_{l+1}
    predicted     –      t_2    t_3    –         labels moved one to the left

so that log π(t_2 | t_0 t_1) is read off z_1. The shift happens here and nowhere else.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from eefcore.masking import IGNORE


def predicted(labels: Tensor) -> Tensor:
    """What the logits of each position are to say, [B, L]: the label of the next one, IGNORE at the end."""
    return torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], IGNORE)], dim=1)


def token_logp(logits: Tensor, targets: Tensor) -> Tensor:
    """log π of each target under the logits of its own position; 0 where it is IGNORE.

    Shapes [N, V] and [N] to [N]. Computed in float32 whatever the logits are in.
    """
    return -F.cross_entropy(logits.float(), targets, ignore_index=IGNORE, reduction="none")


def sequence_logp(logits: Tensor, labels: Tensor) -> Tensor:
    """Σ_l m_l log π(t_l | t_<l) of each row, shape [B]; logits [B, L, V], labels [B, L] not shifted."""
    each = token_logp(logits.flatten(0, 1), predicted(labels).flatten())
    return each.view_as(labels).sum(dim=1)


def sft_loss(logits: Tensor, labels: Tensor, n_trained_tokens: Tensor | int) -> Tensor:
    """L_SFT / n: −Σ_l m_l log π(t_l | t_<l) over all rows given, divided by `n_trained_tokens`, a scalar.

    The paper sums over a trajectory and does not say how a batch is averaged. We divide by the number
    of trained tokens of the *global* batch, over all its micro-batches and devices: the losses of the
    parts then add up to the loss of the whole, and each trained token weighs the same.
    """
    return -sequence_logp(logits, labels).sum() / n_trained_tokens
