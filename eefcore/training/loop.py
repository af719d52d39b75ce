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
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

import msgspec
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from eefcore.errors import UNDECODABLE, DivergenceError, ParamsError
from eefcore.storage.disk import write_atomically
from eefcore.training.batches import BatchSampler, Passes
from eefcore.training.logprobs import can_pack, trained_logps
from eefcore.training.prefix_trees import tree_attention
from eefcore.training.rows import Row

I = TypeVar("I")

COMPLETE = "whole.json"
"""The file written last into a checkpoint; a checkpoint without it is incomplete, and training does not resume from it."""

SAVE_STEPS = 500
"""Optimiser steps between two checkpoints, unless an epoch is shorter; for large models that is minutes."""

OnStep = Callable[[int, int, float], None]
"""A function that is told (optimiser steps done, steps in all, loss of this step)."""


class LossSums(NamedTuple):
    """The part of a forward pass in the loss of its global batch and in the logged values, before any division."""

    loss: Tensor
    logged: Mapping[str, Tensor]


class Objective(NamedTuple, Generic[I]):
    """A loss to minimise over a list of items: Σ loss / Σ weight over each global batch.

    Attributes:
        rows: the rows of an item, which share a forward pass.
        weight: what an item counts for: its trained tokens, or 1 for a pair.
        loss: the loss and the logged values of one forward pass, summed: of log π of the trained tokens of all its rows,
            their number in each row, and its items.
    """

    rows: Callable[[I], Sequence[Row]]
    weight: Callable[[I], int]
    loss: Callable[[Tensor, Sequence[int], Sequence[I]], LossSums]


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a training run. An item is a row (SFT) or a pair (DPO).

    Attributes:
        epochs: passes over the items.
        batch_size: items of a global batch, over all devices. An epoch's last batch may be smaller.
        learning_rate: the peak of the schedule.
        seed: of the order of the items. Equal seeds give equal results on one machine.
        out: the folder of the checkpoints; nothing is written elsewhere.
        batch_tokens: tokens of one forward pass on one device, those that rows share counted once where the model can
            read them once (`logprobs.can_pack`), else padding included; a longer item has a pass of its own. It sets
            memory and speed; the gradient is that of the global batch.
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
    batch_tokens: int = 8192
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
    args.per_device_train_batch_size = _share_of_device(settings, args.world_size)
    watch = _Watch(on_step)
    use_cache = getattr(model.config, "use_cache", None)  # a config with a language part below it has none
    trainer = _Trainer(
        model=model,
        args=args,
        # The Trainer deals numbers of items, and asks a dataset for its length and its items alone, which a list has.
        train_dataset=cast(Dataset[Any], list(range(len(items)))),
        data_collator=lambda numbers: {"items": torch.tensor(numbers)},
        callbacks=[watch],
    )
    longest = max(len(row.tokens) for item in items for row in objective.rows(item))
    passes = Passes(can_pack(model, longest), settings.batch_tokens)
    trainer.set_objective(objective, items, passes, settings)
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(settings.out) if settings.resumable else None
    if checkpoint is not None:
        watch.seconds_before = _seconds(checkpoint) or 0.0
    with tree_attention(model) if passes.packed else nullcontext():
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
    """Return the newest complete checkpoint in `out`; those that a killed process left incomplete do not count.

    One whose last file is damaged is taken for incomplete.
    """
    complete = [p.parent for p in out.glob(f"checkpoint-*/{COMPLETE}") if _seconds(p.parent) is not None]
    return max(complete, key=lambda p: int(p.name.rsplit("-", 1)[1]), default=None)


def _seconds(checkpoint: Path) -> float | None:
    """Return the seconds of training up to a checkpoint; None if the file that completes it can't be read."""
    with suppress(OSError, *UNDECODABLE):
        return msgspec.json.decode((checkpoint / COMPLETE).read_bytes(), type=dict[str, float]).get("seconds")
    return None


class _Trainer(Trainer):
    """A Trainer that minimises an `Objective` over our batches, and logs what the objective logs."""

    def set_objective(
        self, objective: Objective[Any], items: Sequence[Any], passes: Passes, settings: TrainSettings
    ) -> None:
        self._objective, self._items, self._passes, self._settings = objective, items, passes, settings
        self._logged: dict[str, Tensor] = {}  # of the optimiser step in progress

    def _get_train_sampler(self, train_dataset: Any = None) -> BatchSampler:
        lengths = [max(len(row.tokens) for row in self._objective.rows(item)) for item in self._items]
        settings, devices = self._settings, self.accelerator.num_processes
        return BatchSampler(lengths, settings.batch_size, self.args.seed, settings.pool_batches, devices)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor]:
        """Return the share of this device in a global batch, and the weight of all of it, on all devices."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        weight = sum(self._objective.weight(item) for batch in batches for item in self._dealt(batch))
        return batches, self.accelerator.reduce(torch.tensor(float(weight), device=device), "sum")

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Return this device's part of the loss, times the devices, since their gradients are averaged; pass by pass."""
        weight = cast(Tensor, num_items_in_batch)  # from `get_batch_samples`
        model.train()
        total = torch.zeros((), device=weight.device)
        passes = self._cut(self._dealt(inputs))
        for n, items in enumerate(passes, start=1):
            last = n == len(passes)  # the others need not wait for other devices
            with nullcontext() if last else self.accelerator.no_sync(model):
                loss = self._sum_loss(model, items, weight)
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: what is read of a batch is counted nowhere."""
        return 0

    def _dealt(self, batch: Mapping[str, Tensor]) -> list[Any]:
        return [self._items[i] for i in batch["items"].tolist()]

    def _cut(self, items: Sequence[Any]) -> list[list[Any]]:
        """Cut this device's share of a batch into forward passes, as many on each device."""
        passes = self._passes.cut(items, self._objective.rows)
        if self.accelerator.num_processes == 1:
            return passes
        most = self.accelerator.gather(torch.tensor([len(passes)], device=self.args.device)).max().item()
        return self._passes.cut(items, self._objective.rows, at_least=int(most))

    def _sum_loss(self, model: nn.Module, items: Sequence[Any], weight: Tensor) -> Tensor:
        """Return the loss of one forward pass, by the weight of the global batch; what is logged of it adds up."""
        rows = [row for item in items for row in self._objective.rows(item)]
        batch = self._passes.batch(rows).to(self.args.device)
        head = cast(Any, self.model).get_output_embeddings()
        logps = trained_logps(model, batch, head=head, bf16=self._settings.bf16)
        sums = self._objective.loss(logps, batch.counts, items)
        for name, value in sums.logged.items():
            self._logged[name] = self._logged.get(name, 0.0) + value.detach() / weight
        return sums.loss / weight * self.accelerator.num_processes

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what the objective logs of an optimiser step beside its loss."""
        if "loss" in logs:
            logs |= {k: self.accelerator.reduce(v, "sum").item() for k, v in self._logged.items()}
            self._logged = {}
        super().log(logs, start_time)


def _share_of_device(settings: TrainSettings, devices: int) -> int:
    """Return the items of a global batch that one device gets."""
    if settings.batch_size % devices:
        raise ParamsError(
            f"a batch of {settings.batch_size} rows can't be dealt to {devices} devices; choose a batch_size that they divide"
        )
    return settings.batch_size // devices


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
