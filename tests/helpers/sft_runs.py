"""Tiny models, rows and short SFT runs."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from eefcore.training.loop import TrainSettings
from eefcore.training.rows import IGNORE, Row
from eefcore.training.sft import train_sft

VOCABULARY = 257


def tiny(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
    ).eval()


def some_rows(n: int, seed: int = 0) -> list[Row]:
    """Return rows of 10 to 40 tokens that train one token, three tokens, half of them …."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for i in range(n):
        tokens = torch.randint(1, VOCABULARY, (10 + 5 * (i % 7),), generator=generator).tolist()
        first = len(tokens) - 1 - (3 * i) % (len(tokens) // 2)
        rows.append(Row(tokens, [IGNORE] * first + tokens[first:]))
    return rows


def run(model, rows, out, *, on_step=None, **changes):
    defaults = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "seed": 0, "out": out}
    return train_sft(model, rows, TrainSettings(**{**defaults, **changes}), on_step=on_step)
