"""Pairs of rows and short DPO runs."""

from __future__ import annotations

import torch

from eefcore.training.dpo import train_dpo
from eefcore.training.logprobs import token_logps
from eefcore.training.loop import TrainSettings
from eefcore.training.references import Pair
from helpers.definitions import sequence_logp
from helpers.sft_runs import some_rows, tiny


def some_pairs(n, reference=None, seed=0):
    """Return pairs of rows of different lengths with log-likelihoods of `reference`, by default the tiny model."""
    rows = some_rows(2 * n, seed)
    logps = token_logps(reference or tiny(), rows, batch_tokens=99)
    return [Pair((rows[i],), (rows[i + n],), logps[i], logps[i + n]) for i in range(n)]


def run(model, pairs, out, **changes):
    """Train on `pairs`; `changes` are training settings, or `beta`, `sft_weight` and `on_step`."""
    loss = {k: changes.pop(k) for k in ("beta", "sft_weight", "on_step") if k in changes}
    defaults = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "seed": 0, "out": out}
    return train_dpo(model, pairs, TrainSettings(**{**defaults, **changes}), **{"beta": 0.5, **loss})


def logp(model, row):
    return sequence_logp(model(torch.tensor([row.tokens])).logits, torch.tensor([row.labels]))
