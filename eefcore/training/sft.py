"""Behaviour cloning and reinforcement fine-tuning of π_θ with L_SFT (EEF §3.2, Algorithm 1 lines 4 and 14).

The loop, the optimiser, the schedule, several devices and checkpoints are transformers.Trainer's, and
adapters are peft's. Ours is what the result depends on: the loss over a global batch, the order of the
rows, and that only trained positions are scored (`eefcore.training.loop`).

Open in the paper: the optimiser (AdamW), its schedule and weight decay (parameters here), and whether an
iteration starts from the last θ or from the base (the caller's choice: it passes the model).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from eefcore.errors import MaskError
from eefcore.storage.cost import Cost
from eefcore.training.batches import collate
from eefcore.training.logprobs import Batch, n_trained
from eefcore.training.loop import Forward, Objective, OnStep, Settings, Summed, minimise
from eefcore.training.rows import Row


class Trained(NamedTuple):
    """What a training run leaves; the model was trained in place.

    Attributes:
        losses: L_SFT per trained token, of each optimiser step.
        cost: trained tokens (times epochs) and seconds, those before a resume included.
    """

    losses: list[float]
    cost: Cost


def train_sft(
    model: Any,
    rows: Sequence[Row],
    *,
    pad_id: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    out: Path,
    micro_batch: int | None = None,
    schedule: str = "cosine",
    warmup: float = 0.03,
    weight_decay: float = 0.0,
    max_grad_norm: float = 1.0,
    bf16: bool = False,
    gradient_checkpointing: bool = False,
    grouped: int = 1,
    resumable: bool = False,
    on_step: OnStep = lambda done, total, loss: None,
) -> Trained:
    """`epochs` passes over `rows` that minimise L_SFT per trained token of each global batch.

    Every parameter that requires a gradient is trained: all of a plain model, the adapter alone of one
    that has an adapter. Equal seeds give equal results on one machine. Started by `accelerate launch`
    or `torchrun`, the same call trains on several devices; a single process uses one.

    Args:
        model: a Hugging Face causal LM, or a peft model around one.
        batch_size: rows of a global batch, over all devices. An epoch's last batch may be smaller.
        micro_batch: rows of one forward pass on one device, for a batch that does not fit at once;
            None is all of a device's share.
        schedule: a `transformers.SchedulerType`: cosine, linear, constant_with_warmup, …
        warmup: share of the steps, in [0, 1), over which the learning rate rises.
        bf16: matrix products in bfloat16, parameters and loss in float32. On a CPU with AVX-512 bf16 it is
            worth nothing at hidden size 128, and 40 % more tokens a second at 256.
        grouped: batches that are dealt out of one pool sorted by length. 1 deals every batch at random; 50
            saves most of the padding where batches are small and rows many, as in pretraining.
        out: where checkpoints go; nothing is written elsewhere.
        resumable: write a checkpoint after each epoch, or `trainer.SAVE_STEPS`, and go on from the last whole one in `out`.

    Raises:
        MaskError: there is no row, or a row trains nothing.
        ParamsError: the batch can't be cut into micro-batches as asked, or `warmup` is no share.
    """
    tokens = _n_trained_tokens(rows)
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
        grouped=grouped,
        resumable=resumable,
    )
    objective = Objective[Row](
        collate=partial(collate, pad_id=pad_id),
        length=lambda row: len(row.tokens),
        weight=_weight,
        loss=_loss,
    )
    ran = minimise(objective, model, rows, settings, on_step)
    return Trained([s["loss"] for s in ran.steps], Cost(tokens_trained=tokens * epochs, seconds=ran.seconds))


def _weight(batch: Batch) -> Tensor:
    return n_trained(batch["labels"]).sum()


def _loss(forward: Forward, batch: Batch) -> Summed:
    """L_SFT, −Σ m_l log π(t_l | t_<l), summed over the rows of a forward pass.

    The paper sums over a trajectory and does not say how a batch is averaged. `minimise` divides by the number of
    trained tokens of the *global* batch, over all its micro-batches and devices: each trained token weighs the same.
    """
    return Summed(-forward(batch).sum(), {})


def _n_trained_tokens(rows: Sequence[Row]) -> int:
    if not rows:
        raise MaskError("there is no row to train on; look at how many were refused for their length")
    each = [r.n_trained for r in rows]
    if 0 in each:
        raise MaskError(
            f"row {each.index(0)} of {len(rows)} has no trained token after its first; drop it or mask anew"
        )
    return sum(each)
