"""Rows that share beginnings, and models of several shapes that read them."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from eefcore.training.models import add_adapter
from eefcore.training.rows import IGNORE, Row
from helpers.sft_runs import VOCABULARY

SHAPES = ["llama", "llama, grouped heads", "qwen3, grouped heads", "llama with an adapter"]


def shaped(shape: str, seed: int = 0):
    """Return a tiny model whose scores differ enough from place to place for a wrong mask to be seen."""
    torch.manual_seed(seed)
    kind, config = (LlamaForCausalLM, LlamaConfig) if "llama" in shape else (Qwen3ForCausalLM, Qwen3Config)
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "head_dim": 8,
    }
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2 if "grouped" in shape else 4}
    model = kind(config(**sizes, **heads, tie_word_embeddings="qwen3" not in shape))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.mul_(8 if "proj" in name else 2)
    if "adapter" in shape:
        model = add_adapter(model, r=2, alpha=4, seed=seed)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


@st.composite
def tries(draw, depth: int = 6) -> list[Row]:
    """Draw rows of a trie of at most `depth` branchings: equal rows, rows that begin others, branches of one token."""
    token = st.integers(1, 5)  # few, so that what was not meant to be shared is as well
    beginnings: list[list[int]] = [[]]
    for _ in range(draw(st.integers(1, depth))):
        grown = []
        for beginning in beginnings[:4]:
            for _ in range(draw(st.integers(1, 3))):
                grown.append(beginning + draw(st.lists(token, min_size=1, max_size=9)))
        beginnings = grown + draw(st.lists(st.sampled_from(grown), max_size=2))
    rows = []
    for tokens in draw(st.permutations(beginnings)):
        trained = draw(st.sampled_from([1, 2, len(tokens) // 2, max(1, len(tokens) - 1)]))
        rows.append(Row(tokens, [IGNORE] * (len(tokens) - trained) + tokens[len(tokens) - trained :]))
    return rows
