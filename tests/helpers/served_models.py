"""A base and a trained adapter of it, saved, small enough for any engine."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from eefcore.training.models import add_adapter, load_model, save_model
from helpers.byte_tokenizer import byte_tokenizer

CLOSERS = tuple((chr(c), "Ċ") for c in range(ord("!"), ord("~") + 1))


def save_base_and_adapter(folder: Path, *, rank: int = 8) -> None:
    """Save a random Llama to `folder`/base and an adapter with random weights to `folder`/stage/model."""
    tokenizer = byte_tokenizer(merges=CLOSERS)
    torch.manual_seed(0)
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        **shape,
    )
    save_model(LlamaForCausalLM(config), tokenizer, folder / "base")
    model, tokenizer = load_model(folder / "base", trainable=True)
    model = add_adapter(model, r=rank, alpha=rank, seed=0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.1)
    save_model(model, tokenizer, folder / "stage" / "model")
