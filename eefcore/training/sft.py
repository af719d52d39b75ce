"""Train π_θ to imitate: behaviour cloning and reinforcement fine-tuning with L_SFT (EEF §3.2, Algorithm 1 lines 4 and 14).

The loss is `losses.sft_loss`; `loop` runs the training with transformers.Trainer, and adapters are peft's.

Open in the paper: the optimiser (AdamW), its schedule and weight decay (settings here), and whether an
iteration starts from the last θ or from the base (the caller's choice: it passes the model).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from eefcore.errors import MaskError
from eefcore.storage.cost import Cost
from eefcore.training.loop import LossSums, Objective, OnStep, TrainSettings, run_training
from eefcore.training.losses import sft_loss
from eefcore.training.rows import Row


class SFTResult(NamedTuple):
    """L_SFT per trained token of each optimiser step, and the cost: trained tokens (times epochs) and seconds."""

    losses: list[float]
    cost: Cost


def train_sft(
    model: Any, rows: Sequence[Row], settings: TrainSettings, *, on_step: OnStep | None = None
) -> SFTResult:
    """Train `model` on `rows` with L_SFT, averaged over the trained tokens of each global batch.

        L = Σ_b sft_loss(b) / Σ_b n_b      over the micro-batches b of a global batch, with n_b trained tokens

    The paper sums over a trajectory and does not say how a batch is averaged: here every trained token of a global
    batch weighs the same, however the batch is cut into micro-batches and over devices.

    Every parameter of `model`, a Hugging Face causal LM or a peft model around one, that requires a gradient is trained:
    of a peft model the adapter alone. Started by `accelerate launch` or `torchrun`, the same call trains on several
    devices. `batch_size` of the settings counts rows. Rows that begin alike are read once in a forward pass (`batches.pack`).

    Raises:
        MaskError: there is no row, or a row trains nothing.
        ParamsError: the batch can't be dealt to the devices, or `warmup` is not a share.
        DivergenceError: the loss or the gradient of a step is not finite.
    """
    if not rows:
        raise MaskError("expected rows to train on, got none; look at how many were refused for their length")
    counts = [r.n_trained for r in rows]
    if 0 in counts:
        raise MaskError(
            f"row {counts.index(0)} of {len(rows)} has no trained token after its first; drop it or mask it again"
        )
    objective = Objective[Row](
        rows=lambda row: [row],
        weight=lambda row: row.n_trained,
        loss=lambda logps, counts, rows: LossSums(sft_loss(logps), {}),
    )
    log = run_training(objective, model, rows, settings, on_step)
    cost = Cost(tokens_trained=sum(counts) * settings.epochs, seconds=log.seconds)
    return SFTResult([step["loss"] for step in log.steps], cost)


def train_to_read_and_act(
    model: Any, rows: Sequence[Row], settings: TrainSettings, *, read: float, on_step: OnStep | None = None
) -> SFTResult:
    """Train on the first rows whole, pages and all, and on the others as they are: a base that reads new words, and then acts.

    Args:
        read: the share of the rows that are learnt whole; 0 is `train_sft`.
    """
    n = round(read * len(rows))
    if not n:
        return train_sft(model, rows, settings, on_step=on_step)
    whole = [Row(row.tokens, row.tokens) for row in rows[:n]]
    reading = train_sft(model, whole, replace(settings, out=settings.out / "reading"), on_step=on_step)
    acting = train_sft(model, rows[n:], settings, on_step=on_step)
    return SFTResult(reading.losses + acting.losses, reading.cost + acting.cost)
