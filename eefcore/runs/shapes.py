"""The shape of a base model, from its config and without its weights.

The model is built on the `meta` device, where tensors have sizes and no content: any architecture that
transformers knows is counted exactly, in a second, at any size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from eefcore.errors import PolicyError
from eefcore.policies.loading import model_path
from eefcore.runs.estimate import Shape
from eefcore.training.models import load_config
from eefcore.variables import expand_variables

_LLAMA_3_8B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
_MISTRAL_7B_3 = {**_LLAMA_3_8B, "model_type": "mistral", "vocab_size": 32768}

KNOWN: Mapping[str, Mapping[str, str | int]] = {
    "meta-llama/Meta-Llama-3-8B-Instruct": _LLAMA_3_8B,
    "mistralai/Mistral-7B-v0.3": _MISTRAL_7B_3,
}
"""The paper's models, so that a plan can be weighed before anything is downloaded."""


def shape(base: str) -> Shape | None:
    """The shape of the model that `base` names; None if its config is not on this machine."""
    config = _config(base)
    if config is None:
        return None
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head, config = model.get_output_embeddings(), config.get_text_config()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(
        parameters=sum(p.numel() for p in model.parameters()),
        adapter=sum(m.in_features + m.out_features for m in linear),
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        key_values=width * config.num_key_value_heads,
        intermediate=config.intermediate_size,
        vocabulary=config.vocab_size,
    )


def _config(base: str) -> PretrainedConfig | None:
    path = model_path(str(expand_variables(base)))
    if path in KNOWN:
        return AutoConfig.for_model(**KNOWN[path])
    try:
        return load_config(path, local_files_only=True)
    except PolicyError:
        return None
