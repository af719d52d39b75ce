"""Train π_θ on preferences: L_DPO at states (Agent Q eq. 4), and on whole trajectories (eq. 5, ETO).

Only actions' tokens are scored, never observations'. log π_ref is stored with each pair, so no second model is
loaded, and pairs that another policy made can be trained on (off-policy, Agent Q §5.2).

Open in the papers: β, the learning rate and its schedule (parameters here).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any, NamedTuple

import torch

from eefcore.storage.cost import Cost
from eefcore.training.loop import LossSums, Objective, OnStep, TrainSettings, run_training
from eefcore.training.losses import dpo_loss
from eefcore.training.references import Pair


class DPOCurves(NamedTuple):
    """Means over the pairs of the global batch, at each optimiser step; the names are those of the logged keys.

    Attributes:
        loss: L_DPO, and the SFT term if there is one.
        accuracy: the share of the pairs whose margin is above 0.
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
        """Return means over the last ten steps, by name; empty if there was no step."""
        return {name: fmean(values[-10:]) for name, values in self._asdict().items() if values}


class DPOResult(NamedTuple):
    """The curves and the cost of preference learning: trained tokens of both sides (times epochs), and seconds."""

    curves: DPOCurves
    cost: Cost


def train_dpo(
    model: Any,
    pairs: Sequence[Pair],
    settings: TrainSettings,
    *,
    beta: float,
    sft_weight: float = 0.0,
    on_step: OnStep | None = None,
) -> DPOResult:
    """Train `model` on `pairs` with L_DPO, averaged over the pairs of each global batch.

        L = Σ_p dpo_loss(p) / number of pairs p of the global batch        (Agent Q eq. 4; eq. 5 on trajectories)

    Both sides of a pair share a forward pass, and what they begin with is read once in it (`batches.pack`). Without a pair the model stays what it was: an expert and a policy may tie
    on every task. Adapters and several devices work as in `sft.train_sft`.

    Args:
        model: a Hugging Face causal LM, or a peft model around one.
        pairs: the pairs that `batch_size` counts.
        settings: see `TrainSettings`.
        beta: how strongly to stay near π_ref.
        sft_weight: adds this times −log π(chosen) per trained token, averaged over pairs, which keeps the chosen
            from becoming less likely as long as the rejected falls faster; with 0 the loss is the papers'.
        on_step: is told about each optimiser step.

    Raises:
        ParamsError: the batch can't be dealt to the devices, or `warmup` is not a share.
        DivergenceError: the loss or the gradient of a step is not finite.
    """
    if not pairs:
        return DPOResult(DPOCurves([], [], [], [], []), Cost())
    objective = Objective[Pair](
        rows=lambda pair: pair.rows,
        weight=lambda pair: 1,
        loss=partial(_sum_loss, beta=beta, sft_weight=sft_weight),
    )
    log = run_training(objective, model, pairs, settings, on_step)
    tokens = sum(row.n_trained for pair in pairs for row in pair.rows)
    return DPOResult(
        DPOCurves(*([step[name] for step in log.steps] for name in DPOCurves._fields)),
        Cost(tokens_trained=tokens * settings.epochs, seconds=log.seconds),
    )


def _sum_loss(
    token_logps: torch.Tensor, counts: Sequence[int], pairs: Sequence[Pair], *, beta: float, sft_weight: float
) -> LossSums:
    """Return Σ L_DPO over the B pairs of a forward pass, with the SFT term if it has a weight.

    `token_logps` are those of the trained tokens of all rows, chosen before rejected, of which a row has so many of `counts`.
    """
    device, sides = token_logps.device, [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    side_of_row = torch.tensor([i for i, side in enumerate(sides) for _ in side])
    side_of_token = side_of_row.repeat_interleave(torch.tensor(counts)).to(device)
    logps = torch.zeros(len(sides), device=device).index_add(0, side_of_token, token_logps).view(-1, 2)
    reference = torch.tensor([[sum(p.chosen_logps), sum(p.rejected_logps)] for p in pairs], device=device)
    loss, margin = dpo_loss(*logps.T, *reference.T, beta=beta)
    if sft_weight != 0.0:
        tokens = [sum(row.n_trained for row in pair.chosen) for pair in pairs]
        loss = loss - sft_weight * logps[:, 0] / torch.tensor(tokens, device=device)
    chosen, rejected = (beta * (logps - reference)).T
    logged = {"accuracy": (margin > 0).float(), "margin": margin, "chosen": chosen, "rejected": rejected}
    return LossSums(loss.sum(), {name: values.sum() for name, values in logged.items()})
