"""Log-likelihoods log π of the trained tokens of rows: one forward pass for training, for references and for checks.

Reference likelihoods are stored with the data (Agent Q §5.2), so a trainer needs no second model. Whether they were
computed the way the trainer computes is checked, since a difference would be mistaken for something learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from eefcore.errors import DriftError, PolicyError
from eefcore.training.batches import Batch, Passes, pack, pad
from eefcore.training.losses import token_logp
from eefcore.training.prefix_trees import tree_attention
from eefcore.training.rows import Row

OnRows = Callable[[int], None]
"""A function that is told how many rows are done, after each forward pass."""


def trained_logps(model: Callable[..., Any], batch: Batch, *, head: torch.nn.Module, bf16: bool) -> Tensor:
    """Return log π(t_l | t_<l) of the N trained tokens of a batch, row after row, [N], in float32.

    `head` is the model's `get_output_embeddings()`, which computes logits at the U predictors alone; with `bf16` matrix
    products are computed in bfloat16. A packed batch wants a model in `tree_attention`.
    """
    tree = {} if batch.tree is None else {"position_ids": batch.positions, "prefix_tree": batch.tree}
    device = batch.input_ids.device.type
    with torch.autocast(device, torch.bfloat16, enabled=bf16), _logits_only_at(batch.predictors, head):
        logits = model(input_ids=batch.input_ids, use_cache=False, **tree).logits[0]
    return token_logp(logits, batch.targets.to(logits.device))[batch.scored.to(logits.device)]


@torch.no_grad()
def can_pack(model: Any, longest: int) -> bool:
    """Return whether `model` reads packed rows as it reads them one by one, so that they may share what they share.

    A few short rows are read both ways. Recurrent layers, sliding windows below the `longest` row and scores that are capped
    differ or are refused; with dropout, rows that share a token would share its noise, so a model that has any is padded.
    """
    if any(
        getattr(m, "attention_dropout", 0) or (isinstance(m, torch.nn.Dropout) and m.p)
        for m in model.modules()
    ):
        return False
    vocabulary = model.get_input_embeddings().weight.shape[0]
    tokens = (np.arange(1, 25) * 7919 % vocabulary).tolist()
    rows = [Row(t, t) for t in (tokens[:12], tokens[:6] + tokens[12:], tokens[18:], tokens[:8] + tokens[:1])]
    head, training = model.get_output_embeddings(), model.training
    model.eval()
    try:
        apart = [trained_logps(model, pad([row]).to(model.device), head=head, bf16=False) for row in rows]
        with tree_attention(model):
            together = trained_logps(
                model, pack(rows, longest=longest).to(model.device), head=head, bf16=False
            )
    except (PolicyError, TypeError, ValueError, AttributeError):
        return False
    finally:
        model.train(training)
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.2
    return bool((together - torch.cat(apart)).abs().max() < tolerance)


@torch.no_grad()
def token_logps(
    model: Any,
    rows: Sequence[Row],
    *,
    batch_tokens: int,
    bf16: bool = False,
    on_rows: OnRows | None = None,
) -> list[tuple[float, ...]]:
    """Return log π of each trained token of each row, in the order of the rows, as the trainer would compute it.

    A forward pass has at most `batch_tokens` tokens, those that rows share counted once where the model can read them once
    (`can_pack`); a longer row has a pass of its own. A row's result depends on the other rows only by rounding. The model,
    a Hugging Face causal LM or a peft model around one, is left in evaluation mode.
    """
    model.eval()
    logps_of_row: list[tuple[float, ...]] = [()] * len(rows)
    if not rows:
        return logps_of_row
    packed = len(rows) > 1 and can_pack(model, max(len(row.tokens) for row in rows))
    passes = Passes(packed, batch_tokens)
    with tree_attention(model) if packed else nullcontext():
        for indices in passes.cut(range(len(rows)), lambda i: [rows[i]]):
            batch = passes.batch([rows[i] for i in indices]).to(model.device)
            logps = trained_logps(model, batch, head=model.get_output_embeddings(), bf16=bf16)
            for i, row_logps in zip(indices, logps.split(batch.counts), strict=True):
                logps_of_row[i] = tuple(row_logps.tolist())
            if on_rows:
                on_rows(len(indices))
    return logps_of_row


NOISE, ALARM = {False: 1e-5, True: 0.04}, {False: 1e-4, True: 0.1}
"""Mean |Δ log π| a token between an engine and a trainer by whether bfloat16 computes: what rounding explains, and what is
an error (measured: 1e-6 to 1e-5 in float32, 0.03 to 0.05 in bfloat16)."""


class Drift(NamedTuple):
    """The drift of stored log-likelihoods: differences Δ = recomputed − stored, of each token.

    The mean of the signed differences hides what they do to a ratio π/π_ref, so `summary` has their sizes as well.
    """

    differences: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean of |Δ|; 0 of no tokens."""
        return sum(map(abs, self.differences)) / max(1, len(self.differences))

    @property
    def worst(self) -> float:
        """Return the largest |Δ|; 0 of no tokens."""
        return max(map(abs, self.differences), default=0.0)

    def summary(self) -> dict[str, float]:
        """Return the size of the differences: the mean, root mean square, 95 % point and largest |Δ|, and the mean of Δ.

        `outside` is the share of ratios exp(Δ) outside 0.9 to 1.1.
        """
        delta = np.array(self.differences or (0.0,))
        return {
            "tokens": len(self.differences),
            "mean": self.mean,
            "rms": float(np.sqrt(np.mean(delta**2))),
            "p95": float(np.quantile(abs(delta), 0.95)),
            "worst": self.worst,
            "signed": float(delta.mean()),
            "outside": float(np.mean(abs(np.exp(delta) - 1) > 0.1)),
        }


def measure_drift(stored: Sequence[Sequence[float]], recomputed: Sequence[Sequence[float]]) -> Drift:
    """Measure the difference between stored and recomputed log-likelihoods, over all tokens of all rows.

    Raises:
        DriftError: a row has another number of tokens than stored likelihoods.
    """
    differences: list[float] = []
    for i, (old, new) in enumerate(zip(stored, recomputed, strict=True)):
        if len(old) != len(new):
            raise DriftError(
                f"row {i} of {len(stored)}: {len(old)} log-likelihoods are stored, {len(new)} tokens are trained; "
                "were they made with another tokenizer or format? Make the data again"
            )
        differences += (b - a for a, b in zip(old, new, strict=True))
    return Drift(tuple(differences))


def check_drift(
    stored: Sequence[Sequence[float]], recomputed: Sequence[Sequence[float]], *, at_most: float
) -> Drift:
    """Return the drift, and refuse to train on stored log-likelihoods if its mean is more than `at_most`.

    Raises:
        DriftError: the mean is more, or a row has another number of tokens than stored likelihoods.
    """
    drift = measure_drift(stored, recomputed)
    if not drift.mean <= at_most:
        raise DriftError(
            f"stored log-likelihoods differ from the trainer's by {drift.mean:.2g} per token (at worst "
            f"{drift.worst:.2g}), expected at most {at_most:.2g}; were they computed under another model, or in "
            "another precision? Compute them again with the trainer's settings, or raise the bound knowingly"
        )
    return drift


@contextmanager
def _logits_only_at(predictors: Tensor, head: torch.nn.Module) -> Generator[None]:
    """Let the model compute logits at the U `predictors`, places in the flattened input, alone: [1, U, V].

    The head computes nothing else, and the loss is exactly the same. A hook on its input works for every
    causal LM, and keeps what some models do to the logits afterwards (Gemma caps them, Cohere scales them).
    """

    def keep(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0].flatten(0, 1)[predictors.to(inputs[0].device)].unsqueeze(0),)

    hook = head.register_forward_pre_hook(keep)
    try:
        yield
    finally:
        hook.remove()
