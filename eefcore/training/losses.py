"""The losses that train: L_SFT (EEF §3.2) and L_DPO (Agent Q eq. 4, 5), from log π of the trained tokens.

Which logits score which token is decided in `batches`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


def token_logp(logits: Tensor, targets: Tensor) -> Tensor:
    """Return log π of each target under the logits that score it.

    Shapes [N, V] and [N] to [N]. Computed in float32 whatever the logits are in.
    """
    return -F.cross_entropy(logits.float(), targets, reduction="none")


def sft_loss(logps: Tensor) -> Tensor:
    """Return L_SFT = −Σ_l m_l log π(t_l | t_<l) (EEF §3.2), summed over the rows of a batch.

    `logps` [N] holds log π of the trained tokens alone, those with m_l = 1. The sum is averaged in `sft.train_sft`.
    """
    return -logps.sum()


class DPOLoss(NamedTuple):
    """The loss of B pairs, before they are averaged; each has shape [B].

    Attributes:
        loss: −log σ(margin).
        margin: β (log π/π_ref)(a^w) − β (log π/π_ref)(a^l), the implicit reward's difference; 0 where π is π_ref.
    """

    loss: Tensor
    margin: Tensor


def dpo_loss(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, *, beta: float
) -> DPOLoss:
    """Return L_DPO = −log σ(β log π(a^w|h)/π_ref(a^w|h) − β log π(a^l|h)/π_ref(a^l|h)) of each pair (Agent Q eq. 4).

    Given whole trajectories, whose log π is the sum over their actions' tokens and over no observation's,
    it is the trajectory DPO of Agent Q eq. 5 and of ETO: the environment's part of the likelihood is the
    same under π and π_ref, and drops out. The pairs are not averaged here, but in `dpo.train_dpo`.

    Each argument holds, for a side of each pair, log π or log π_ref of its trained tokens, summed, [B]; `beta` says how
    strongly to stay near π_ref.
    """
    margin = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    return DPOLoss(-F.logsigmoid(margin), margin)
