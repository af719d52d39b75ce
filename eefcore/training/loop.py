"""The training loop that SFT and DPO share: transformers.Trainer, with our own losses, batches and checkpoints.

The loop, the optimiser, the schedule and several devices are transformers'. Written here is what a result depends on: the
loss of a *global* batch (a sum over its micro-batches and devices, divided once), the order of the rows, and that
training never resumes from a checkpoint that was only half written.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

import msgspec
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from eefcore.errors import DivergenceError, ParamsError
from eefcore.storage.disk import write_atomically
from eefcore.training.batches import BatchSampler
from eefcore.training.logprobs import Batch, trained_logps

I = TypeVar("I")

COMPLETE = "whole.json"
"""The file written last into a checkpoint; a checkpoint without it is incomplete, and training does not resume from it."""

SAVE_STEPS = 500
"""Optimiser steps between two checkpoints, unless an epoch is shorter; for large models that is minutes."""

OnStep = Callable[[int, int, float], None]
"""A function that is told (optimiser steps done, steps in all, loss of this step)."""

Forward = Callable[[Batch], Tensor]
"""Return log π of the trained tokens of a batch, row after row, [N]: `logprobs.trained_logps` of the model in training."""


class LossSums(NamedTuple):
    """The part of a micro-batch in the loss of its global batch and in the logged values, before any division."""

    loss: Tensor
    logged: Mapping[str, Tensor]


class Objective(NamedTuple, Generic[I]):
    """A loss to minimise over a list of items: Σ loss / Σ weight over each global batch.

    Attributes:
        collate: makes tensors of the items of one forward pass.
        length: the number of tokens of an item; items of similar length share a forward pass.
        weight: what a forward pass counts for: its trained tokens, or its pairs.
        loss: the loss and the logged values of one forward pass, summed.
    """

    collate: Callable[[Sequence[I]], dict[str, Tensor]]
    length: Callable[[I], int]
    weight: Callable[[Batch], Tensor]
    loss: Callable[[Forward, Batch], LossSums]


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a training run. An item is a row (SFT) or a pair (DPO).

    Attributes:
        epochs: passes over the items.
        batch_size: items of a global batch, over all devices. An epoch's last batch may be smaller.
        learning_rate: the peak of the schedule.
        seed: of the order of the items. Equal seeds give equal results on one machine.
        out: the folder of the checkpoints; nothing is written elsewhere.
        micro_batch: items of one forward pass on one device; None takes all of a device's share of a batch.
        schedule: a `transformers.SchedulerType`: cosine, linear, constant_with_warmup, …
        warmup: the share of the steps, in [0, 1), over which the learning rate rises.
        weight_decay: AdamW's.
        max_grad_norm: gradients are clipped to this norm.
        bf16: compute matrix products in bfloat16, parameters and loss in float32. On a CPU with AVX-512 bf16 it
            gains nothing at hidden size 128, and 40 % more tokens a second at 256.
        gradient_checkpointing: compute activations again in the backward pass, which saves memory.
        pool_batches: how many batches are dealt out of one pool sorted by length (`BatchSampler`); 50 saves most of the
            padding where batches are small and rows many.
        resumable: write a checkpoint after each epoch, or every `SAVE_STEPS` steps, and resume from the last in `out`.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    out: Path
    micro_batch: int | None = None
    schedule: str = "cosine"
    warmup: float = 0.03
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    bf16: bool = False
    gradient_checkpointing: bool = False
    pool_batches: int = 1
    resumable: bool = False

    def steps(self, n_items: int) -> int:
        """Return the number of optimiser steps of a training run on `n_items`."""
        return self.epochs * self.steps_per_epoch(n_items)

    def steps_per_epoch(self, n_items: int) -> int:
        """Return the number of optimiser steps of one pass; the last batch of a pass may be smaller."""
        return -(-n_items // self.batch_size)


class TrainingLog(NamedTuple):
    """The values logged at each optimiser step, with `loss`, and the wall time; both include steps before a resume."""

    steps: list[dict[str, float]]
    seconds: float


def run_training(
    objective: Objective[I], model: Any, items: Sequence[I], settings: TrainSettings, on_step: OnStep | None
) -> TrainingLog:
    """Train `model` in place on `items`, and leave it in evaluation mode.

    Raises:
        ParamsError: the batch can't be cut into micro-batches of that size, or the warmup is not a share.
        DivergenceError: the loss or the gradient of a step is not finite; no checkpoint holds that step.
    """
    if not 0.0 <= settings.warmup < 1.0:
        raise ParamsError(f"warmup: expected a share of the steps in [0, 1), got {settings.warmup}")
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
        save_steps=min(SAVE_STEPS, settings.steps_per_epoch(len(items))),
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    # Several visible GPUs in one process would mean DataParallel, which splits a batch without being asked.
    args._n_gpu = min(args.n_gpu, 1)
    args.per_device_train_batch_size, args.gradient_accumulation_steps = _cut_batch(settings, args.world_size)
    watch = _Watch(on_step)
    use_cache = getattr(model.config, "use_cache", None)  # a config with a language part below it has none
    trainer = _Trainer(
        model=model,
        args=args,
        # The Trainer asks a dataset for its length and its items alone, which a list has.
        train_dataset=cast(Dataset[Any], list(items)),
        data_collator=objective.collate,
        callbacks=[watch],
    )
    trainer.set_objective(objective, settings)
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(settings.out) if settings.resumable else None
    if checkpoint is not None:
        watch.seconds_before = json.loads((checkpoint / COMPLETE).read_text())["seconds"]
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_disable()
    if use_cache is not None:
        model.config.use_cache = use_cache
    elif hasattr(model.config, "use_cache"):
        del model.config.use_cache
    model.eval()
    return TrainingLog([entry for entry in trainer.state.log_history if "loss" in entry], watch.seconds)


def last_checkpoint(out: Path) -> Path | None:
    """Return the newest complete checkpoint in `out`; those that a killed process left incomplete do not count."""
    complete = [p.parent for p in out.glob(f"checkpoint-*/{COMPLETE}")]
    return max(complete, key=lambda p: int(p.name.rsplit("-", 1)[1]), default=None)


class _Trainer(Trainer):
    """A Trainer that minimises an `Objective` over our batches, and logs what the objective logs."""

    def set_objective(self, objective: Objective[Any], settings: TrainSettings) -> None:
        self._objective, self._settings = objective, settings
        self._logged: dict[str, Tensor] = {}  # of the optimiser step in progress
        self.loss_is_scaled_for_ga = True  # a sum over the global batch, divided once, below

    def _get_train_sampler(self, train_dataset: Any = None) -> BatchSampler:
        items = self.train_dataset if train_dataset is None else train_dataset
        lengths = [self._objective.length(item) for item in cast(Sequence[Any], items)]
        settings = self._settings
        return BatchSampler(lengths, settings.batch_size, self.args.seed, settings.pool_batches)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], Tensor]:
        """Return a global batch's micro-batches on this device, and the weight of all of it, on all devices."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        weight = torch.stack([self._objective.weight(b) for b in batches]).sum().to(device)
        return batches, self.accelerator.reduce(weight, "sum")

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return this micro-batch's part of the loss, times the devices, since their gradients are averaged."""
        weight = cast(Tensor, num_items_in_batch)  # from `get_batch_samples`
        head = cast(Any, self.model).get_output_embeddings()
        forward = partial(trained_logps, model, head=head, bf16=self._settings.bf16)
        sums = self._objective.loss(forward, inputs)
        for name, value in sums.logged.items():
            self._logged[name] = self._logged.get(name, 0.0) + value.detach() / weight
        return sums.loss / weight * self.accelerator.num_processes

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what the objective logs of an optimiser step beside its loss."""
        if "loss" in logs:
            logs |= {k: self.accelerator.reduce(v, "sum").item() for k, v in self._logged.items()}
            self._logged = {}
        super().log(logs, start_time)


def _cut_batch(settings: TrainSettings, devices: int) -> tuple[int, int]:
    """Return the items of one forward pass on one device, and the forward passes of a batch."""
    batch_size = settings.batch_size
    items = settings.micro_batch if settings.micro_batch is not None else batch_size // devices
    if items < 1 or batch_size % (items * devices):
        raise ParamsError(
            f"a batch of {batch_size} rows can't be cut into passes of {items} rows on {devices} device(s); "
            "choose a micro_batch that divides the batch's share of a device"
        )
    return items, batch_size // (items * devices)


class _Watch(TrainerCallback):
    """A callback that reports each step, stops a training that diverges, and measures the wall time over resumes."""

    def __init__(self, on_step: OnStep | None) -> None:
        self._on_step, self.seconds_before, self._start = on_step, 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self._start

    def on_log(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        if "loss" in logs:
            _refuse_divergence(state, logs)
            if self._on_step and state.is_world_process_zero:
                self._on_step(state.global_step, state.max_steps, logs["loss"])

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(cast(str, args.output_dir)) / f"checkpoint-{state.global_step}"
            write_atomically(folder / COMPLETE, json.dumps({"seconds": self.seconds}).encode())


def _refuse_divergence(state: Any, logs: Mapping[str, float]) -> None:
    """Raise a DivergenceError if the step that `logs` is about has no finite loss or gradient; it is not saved yet."""
    loss, gradient = logs["loss"], logs.get("grad_norm", 0.0)
    if not (math.isfinite(loss) and math.isfinite(gradient)):
        raise DivergenceError(
            f"training diverged at step {state.global_step} of {state.max_steps}: loss {loss}, norm of the gradient "
            f"{gradient}, learning rate {logs['learning_rate']:.3g}. This step is not saved; choose a smaller "
            "learning_rate (a tenth of it), or bf16: false if it is small already, and run again"
        )
