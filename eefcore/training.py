"""Behaviour cloning and reinforcement fine-tuning of π_θ with L_SFT (EEF §3.2, Algorithm 1 lines 4 and 14).

The loop, the optimiser, the schedule, several devices and checkpoints are transformers.Trainer's, and
adapters are peft's. Ours is what the result depends on: the loss over a global batch, the order of the
rows, and that only trained positions are scored.

Open in the paper: the optimiser (AdamW), its schedule and weight decay (parameters here), and whether an
iteration starts from the last θ or from the base (the caller's choice: it passes the model).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from eefcore.disk import write_whole
from eefcore.errors import MaskError, ParamsError
from eefcore.ledger import Cost
from eefcore.losses import predicted, token_logp
from eefcore.masking import IGNORE, Row

WHOLE = "whole.json"
"""Written last into a checkpoint: one without it was torn, and is not resumed from."""

OnStep = Callable[[int, int, float], None]
"""Hears (optimiser steps done, steps in all, loss of the step)."""


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
        resumable: write a checkpoint after each epoch, and go on from the last whole one in `out`.

    Raises:
        MaskError: there is no row, or a row trains nothing.
        ParamsError: the batch can't be cut into micro-batches as asked, or `warmup` is no share.
    """
    n_trained = _n_trained_tokens(rows)
    if not 0.0 <= warmup < 1.0:
        raise ParamsError(f"warmup is a share of the steps in [0, 1), got {warmup}")
    args = TrainingArguments(
        output_dir=str(out),
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=warmup,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        gradient_checkpointing=gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        seed=seed,
        save_strategy="epoch" if resumable else "no",
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
        batch_size, micro_batch, args.world_size
    )
    clock = _Clock()
    use_cache = model.config.use_cache
    trainer = _SFT(
        model=model,
        args=args,
        train_dataset=list(rows),
        data_collator=lambda batch: collate(batch, pad_id),
        compute_loss_func=_loss,
        callbacks=[clock, _Progress(on_step)],
    )
    trainer.bf16, trainer.grouped = bf16, grouped
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(out) if resumable else None
    if checkpoint is not None:
        clock.before = json.loads((checkpoint / WHOLE).read_text())["seconds"]
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if gradient_checkpointing:
        model.gradient_checkpointing_disable()
    model.config.use_cache = use_cache
    model.eval()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Trained(losses, Cost(tokens_trained=n_trained * epochs, seconds=clock.seconds))


def steps(rows: int, epochs: int, batch_size: int) -> int:
    """Optimiser steps of a training run; an epoch's last batch may be smaller."""
    return epochs * -(-rows // batch_size)


def collate(rows: Sequence[Row], pad_id: int) -> dict[str, Tensor]:
    """`input_ids` and `labels`, [B, L], filled up on the right with `pad_id` and IGNORE.

    There is no attention mask: a causal model never looks ahead, so nothing sees what is on the right.
    """
    longest = max(len(r.tokens) for r in rows)

    def filled(values: Sequence[int], fill: int) -> list[int]:
        return [*values, *[fill] * (longest - len(values))]

    return {
        "input_ids": torch.tensor([filled(r.tokens, pad_id) for r in rows]),
        "labels": torch.tensor([filled(r.labels, IGNORE) for r in rows]),
    }


def last_checkpoint(out: Path) -> Path | None:
    """The newest whole checkpoint in `out`; torn ones, of a process that was killed, don't count."""
    whole = [p.parent for p in out.glob(f"checkpoint-*/{WHOLE}")]
    return max(whole, key=lambda p: int(p.name.rsplit("-", 1)[1]), default=None)


class Batches(Sampler[int]):
    """The order of the rows in an epoch: a random permutation, each global batch sorted by length.

    Sorting inside a batch leaves the batch, and so its gradient, what it was, and fills its
    micro-batches with rows of like length, which saves padding. With `grouped` above 1, that many
    batches are sorted together and shuffled: less padding, and batches of like length.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, grouped: int = 1) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0
        self._grouped = grouped

    def set_epoch(self, epoch: int) -> None:
        """The Trainer says which epoch comes, also when it resumes in a later one."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 100_003 + self._epoch)
        order = torch.randperm(len(self), generator=generator).tolist()
        pool = self._grouped * self._batch_size
        for start in range(0, len(order), pool):
            alike = sorted(order[start : start + pool], key=lambda i: -self._lengths[i])
            whole = len(alike) // self._batch_size
            for i in torch.randperm(whole, generator=generator).tolist():
                yield from alike[i * self._batch_size : (i + 1) * self._batch_size]
            # A batch that is not full comes last: the Trainer cuts the order by number.
            yield from alike[whole * self._batch_size :]


class _SFT(Trainer):
    """A Trainer that scores trained positions only, in our order, and computes in bfloat16 if told."""

    bf16 = False
    grouped = 1

    def _get_train_sampler(self, train_dataset: Any = None) -> Batches:
        args = self.args
        batch_size = args.per_device_train_batch_size * args.world_size * args.gradient_accumulation_steps
        return Batches([len(r.tokens) for r in self.train_dataset], batch_size, args.seed, self.grouped)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        with (
            torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.bf16),
            _logits_where_trained(self.model.get_output_embeddings(), inputs["labels"]),
        ):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)


@contextmanager
def _logits_where_trained(head: torch.nn.Module, labels: Tensor) -> Iterator[None]:
    """Inside, the model's logits are [1, N, V]: those of the N positions that predict a trained token.

    Nothing else is asked of the head, so the loss is exactly the same. A hook on its input works for every
    causal LM, and keeps what some models do to the logits afterwards (Gemma caps them, Cohere scales them).
    """
    trained = predicted(labels) != IGNORE

    def keep(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][trained.to(inputs[0].device)].unsqueeze(0),)

    hook = head.register_forward_pre_hook(keep)
    try:
        yield
    finally:
        hook.remove()


def _loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int) -> Tensor:
    """This micro-batch's share of the global batch's loss: its sum, over the global number of tokens."""
    targets = predicted(labels)
    logits = outputs.logits[0]
    return -token_logp(logits, targets[targets != IGNORE].to(logits.device)).sum() / num_items_in_batch


def _n_trained_tokens(rows: Sequence[Row]) -> int:
    if not rows:
        raise MaskError("there is no row to train on; look at how many were refused for their length")
    each = [sum(label != IGNORE for label in r.labels[1:]) for r in rows]
    if 0 in each:
        raise MaskError(
            f"row {each.index(0)} of {len(rows)} has no trained token after its first; drop it or mask anew"
        )
    return sum(each)


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
            write_whole(whole, json.dumps({"seconds": self.seconds}).encode())


class _Progress(TrainerCallback):
    """Passes on what the Trainer logs of each step, from one process of several."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step

    def on_log(
        self, args: TrainingArguments, state: Any, control: Any, logs: dict[str, float], **_: Any
    ) -> None:
        if "loss" in logs and state.is_world_process_zero:
            self._on_step(state.global_step, state.max_steps, logs["loss"])
