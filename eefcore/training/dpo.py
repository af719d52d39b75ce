"""Preference learning of π_θ: L_DPO at states (Agent Q eq. 4), and on whole trajectories (eq. 5, ETO).

Only actions' tokens are scored, never observations'. log π_ref is stored with each pair, so no second model is
loaded, and pairs that another policy made can be trained on (off-policy, Agent Q §5.2).

Open in the papers: β, the learning rate and its schedule (parameters here).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch

from eefcore.storage.cost import Cost
from eefcore.training import logprobs
from eefcore.training.batches import collate
from eefcore.training.logprobs import Batch
from eefcore.training.loop import Forward, Objective, OnStep, Settings, Summed, minimise
from eefcore.training.losses import dpo_loss
from eefcore.training.references import Pair, n_trained


class Curves(NamedTuple):
    """Of each optimiser step, means over the pairs of its global batch; the names are those of the logged keys.

    Attributes:
        loss: L_DPO, and the SFT term if there is one.
        accuracy: share of the pairs whose margin is above 0.
        margin: β (log π/π_ref)(chosen) − β (log π/π_ref)(rejected).
        chosen: β (log π/π_ref)(chosen), the implicit reward; below 0 where even the chosen became less likely.
        rejected: the same of the rejected.
    """

    loss: list[float]
    accuracy: list[float]
    margin: list[float]
    chosen: list[float]
    rejected: list[float]

    def last(self) -> dict[str, float]:
        """Means over the last ten steps; empty if there was none."""
        return {name: fmean(values[-10:]) for name, values in self._asdict().items() if values}


class Trained(NamedTuple):
    """What preference learning leaves; the model was trained in place.

    Attributes:
        curves: how it went.
        cost: trained tokens of both sides (times epochs) and seconds, those before a resume included.
    """

    curves: Curves
    cost: Cost


def train_dpo(
    model: Any,
    pairs: Sequence[Pair],
    *,
    pad_id: int,
    beta: float,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    out: Path,
    sft_weight: float = 0.0,
    micro_batch: int | None = None,
    schedule: str = "cosine",
    warmup: float = 0.03,
    weight_decay: float = 0.0,
    max_grad_norm: float = 1.0,
    bf16: bool = False,
    gradient_checkpointing: bool = False,
    resumable: bool = False,
    on_step: OnStep = lambda done, total, loss: None,
) -> Trained:
    """`epochs` passes over `pairs` that minimise the mean L_DPO of each global batch.

    What is not said here is as in `training.train_sft`; both sides of a pair share a forward pass. Without a pair
    there is nothing to learn and the model stays what it was: an expert and a policy may tie on every task.

    Args:
        beta: how strongly to stay near π_ref.
        batch_size: pairs of a global batch, over all devices.
        micro_batch: pairs of one forward pass on one device; None is all of a device's share.
        sft_weight: adds so many times −log π(chosen) per trained token, averaged over pairs, which keeps the
            chosen from becoming less likely as long as the rejected falls faster; 0 is the papers' loss.

    Raises:
        ParamsError: the batch can't be cut into micro-batches as asked, or `warmup` is no share.
    """
    if not pairs:
        return Trained(Curves([], [], [], [], []), Cost())
    settings = Settings(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        out=out,
        micro_batch=micro_batch,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        bf16=bf16,
        gradient_checkpointing=gradient_checkpointing,
        grouped=1,
        resumable=resumable,
    )
    objective = Objective[Pair](
        collate=lambda batch: _collated(batch, pad_id),
        length=lambda pair: max(len(r.tokens) for side in (pair.chosen, pair.rejected) for r in side),
        weight=lambda batch: torch.tensor(len(batch["reference"])),
        loss=lambda forward, batch: _loss(forward, batch, beta, sft_weight),
    )
    ran = minimise(objective, model, pairs, settings, on_step)
    tokens = sum(n_trained(p.chosen) + n_trained(p.rejected) for p in pairs)
    return Trained(
        Curves(*([step[name] for step in ran.steps] for name in Curves._fields)),
        Cost(tokens_trained=tokens * epochs, seconds=ran.seconds),
    )


def _collated(pairs: Sequence[Pair], pad_id: int) -> dict[str, torch.Tensor]:
    """The R rows of B pairs, chosen before rejected, [R, L]; `side`, whose of the 2B each is; log π_ref of each, [B, 2]."""
    sides = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    rows = collate([r for side in sides for r in side], pad_id)
    reference = [[sum(p.chosen_logps), sum(p.rejected_logps)] for p in pairs]
    whose = [i for i, side in enumerate(sides) for _ in side]
    return {**rows, "side": torch.tensor(whose), "reference": torch.tensor(reference)}


def _loss(forward: Forward, batch: Batch, beta: float, sft_weight: float) -> Summed:
    """Σ L_DPO over the pairs of a forward pass."""
    counts = logprobs.n_trained(batch["labels"])
    sides = batch["side"].repeat_interleave(counts)
    scores, reference = forward(batch), batch["reference"]
    logps = torch.zeros(reference.numel(), device=scores.device).index_add(0, sides, scores).view(-1, 2)
    loss, margin = dpo_loss(*logps.T, *reference.T, beta=beta)
    if sft_weight:
        tokens = torch.zeros_like(reference.flatten()).index_add(0, batch["side"], counts.to(reference.dtype))
        loss = loss - sft_weight * logps[:, 0] / tokens.view(-1, 2)[:, 0]
    better, worse = (beta * (logps - reference)).T
    logged = {"accuracy": (margin > 0).float(), "margin": margin, "chosen": better, "rejected": worse}
    return Summed(loss.sum(), {name: values.sum() for name, values in logged.items()})
