"""The training loop that SFT and DPO share: transformers.Trainer, with what a result depends on made ours.

Ours is the loss of a *global* batch (a sum over its micro-batches and devices, divided once), the order of the
rows, and checkpoints of which a torn one is never resumed from. The loop, the optimiser, the schedule and
several devices are transformers'.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from eefcore.errors import ParamsError
from eefcore.storage.disk import write_atomically
from eefcore.training.batches import Batches
from eefcore.training.logprobs import Batch, trained_logps

I = TypeVar("I")

WHOLE = "whole.json"
"""Written last into a checkpoint: one without it was torn, and is not resumed from."""

SAVE_STEPS = 500
"""From one checkpoint to the next, unless an epoch is shorter: minutes, for the models that need so many."""

OnStep = Callable[[int, int, float], None]
"""Hears (optimiser steps done, steps in all, loss of the step)."""

Forward = Callable[[Batch], Tensor]
"""log π of the trained tokens of a batch, row after row, [N]: `scoring.trained_logps` of the model in training."""


class Summed(NamedTuple):
    """What a micro-batch adds to its global batch: sums, which the trainer divides by the whole weight."""

    loss: Tensor
    logged: Mapping[str, Tensor]


class Objective(NamedTuple, Generic[I]):
    """What is minimised: Σ loss / Σ weight over each global batch of items.

    Attributes:
        collate: items of one forward pass as tensors.
        length: an item's tokens; items of like length share a forward pass.
        weight: what a forward pass counts for: its trained tokens, its pairs.
        loss: its part of the sum, and of what is logged beside it.
    """

    collate: Callable[[Sequence[I]], dict[str, Tensor]]
    length: Callable[[I], int]
    weight: Callable[[Batch], Tensor]
    loss: Callable[[Forward, Batch], Summed]


class Settings(NamedTuple):
    """How it is minimised; `training.train_sft` says what each means."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    out: Path
    micro_batch: int | None
    schedule: str
    warmup: float
    weight_decay: float
    max_grad_norm: float
    bf16: bool
    gradient_checkpointing: bool
    grouped: int
    resumable: bool


class Ran(NamedTuple):
    """What each optimiser step logged, `loss` among it, and the wall time; those before a resume included."""

    steps: list[Mapping[str, float]]
    seconds: float


def minimise(
    objective: Objective[I], model: Any, items: Sequence[I], settings: Settings, on_step: OnStep
) -> Ran:
    """`settings.epochs` passes over `items`; `model` is trained in place, and in evaluation mode afterwards.

    Raises:
        ParamsError: the batch can't be cut into micro-batches as asked, or the warmup is no share.
    """
    if not 0.0 <= settings.warmup < 1.0:
        raise ParamsError(f"warmup is a share of the steps in [0, 1), got {settings.warmup}")
    args = TrainingArguments(
        output_dir=str(settings.out),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        gradient_checkpointing=settings.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        seed=settings.seed,
        save_strategy="steps" if settings.resumable else "no",
        save_steps=min(SAVE_STEPS, steps(len(items), 1, settings.batch_size)),
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    # Several visible GPUs in one process would mean DataParallel, which splits a batch behind our back.
    args._n_gpu = min(args.n_gpu, 1)
    args.per_device_train_batch_size, args.gradient_accumulation_steps = _passes(
        settings.batch_size, settings.micro_batch, args.world_size
    )
    clock = _Clock()
    use_cache = getattr(model.config, "use_cache", None)  # a config with a language part below has none
    trainer = _Trainer(
        model=model,
        args=args,
        train_dataset=list(items),
        data_collator=objective.collate,
        callbacks=[clock, _Progress(on_step)],
    )
    trainer.follow(objective, settings)
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(settings.out) if settings.resumable else None
    if checkpoint is not None:
        clock.before = json.loads((checkpoint / WHOLE).read_text())["seconds"]
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_disable()
    if use_cache is not None:
        model.config.use_cache = use_cache
    elif hasattr(model.config, "use_cache"):
        del model.config.use_cache
    model.eval()
    return Ran([entry for entry in trainer.state.log_history if "loss" in entry], clock.seconds)


def steps(rows: int, epochs: int, batch_size: int) -> int:
    """Optimiser steps of a training run; an epoch's last batch may be smaller."""
    return epochs * -(-rows // batch_size)


def last_checkpoint(out: Path) -> Path | None:
    """The newest whole checkpoint in `out`; torn ones, of a process that was killed, don't count."""
    whole = [p.parent for p in out.glob(f"checkpoint-*/{WHOLE}")]
    return max(whole, key=lambda p: int(p.name.rsplit("-", 1)[1]), default=None)


class _Trainer(Trainer):
    """A Trainer that minimises an Objective over our batches, and logs what it logs."""

    def follow(self, objective: Objective, settings: Settings) -> None:
        self._objective, self._settings = objective, settings
        self._logged: dict[str, Tensor] = {}  # of the optimiser step at work
        self.loss_is_scaled_for_ga = True  # a sum over the global batch, divided once, below

    def _get_train_sampler(self, train_dataset: Any = None) -> Batches:
        lengths = [self._objective.length(item) for item in self.train_dataset]
        return Batches(lengths, self._settings.batch_size, self.args.seed, self._settings.grouped)

    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, Tensor]:
        """A global batch's micro-batches on this device, and the weight of all of it, on all devices."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        weight = sum(self._objective.weight(b) for b in batches).to(device)
        return batches, self.accelerator.reduce(weight, "sum")

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor:
        """This micro-batch's part of the loss; times the devices, since their gradients are averaged."""
        head = self.model.get_output_embeddings()
        forward = partial(trained_logps, model, head=head, bf16=self._settings.bf16)
        part = self._objective.loss(forward, inputs)
        for name, value in part.logged.items():
            self._logged[name] = self._logged.get(name, 0.0) + value.detach() / num_items_in_batch
        return part.loss / num_items_in_batch * self.accelerator.num_processes

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Beside the loss of an optimiser step, what its objective logs of it."""
        if "loss" in logs:
            reduced = {k: self.accelerator.reduce(v, "sum").item() for k, v in self._logged.items()}
            logs.update(reduced)
            self._logged = {}
        super().log(logs, start_time)


def _passes(batch_size: int, micro_batch: int | None, devices: int) -> tuple[int, int]:
    """Rows of one forward pass on one device, and passes a batch."""
    rows = micro_batch or batch_size // devices
    if rows < 1 or batch_size % (rows * devices):
        raise ParamsError(
            f"a batch of {batch_size} rows can't be cut into passes of {rows} rows on {devices} device(s); "
            "choose a micro_batch that divides the batch's share of a device"
        )
    return rows, batch_size // (rows * devices)


class _Clock(TrainerCallback):
    """Wall time of training, carried over a resume by the mark that says a checkpoint is whole."""

    def __init__(self) -> None:
        self.before, self._start = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self._start

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            whole = Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE
            write_atomically(whole, json.dumps({"seconds": self.seconds}).encode())


class _Progress(TrainerCallback):
    """Passes on what the Trainer logs of each step, from one process of several."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step

    def on_log(
        self, args: TrainingArguments, state: Any, control: Any, logs: dict[str, float], **_: Any
    ) -> None:
        if "loss" in logs and state.is_world_process_zero:
            self._on_step(state.global_step, state.max_steps, logs["loss"])
