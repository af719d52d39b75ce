"""Language models on disk: π_θ with its tokenizer, whole or as a LoRA adapter of a base.

Reading, writing and melting are transformers' and peft's. Ours is that an adapter and a base on this
machine can be moved together, and that a tokenizer which does not fit is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from eefcore.errors import PolicyError

ADAPTER = "adapter_config.json"


def with_adapter(
    model: Any,
    *,
    r: int,
    alpha: int,
    targets: str | Sequence[str] = "all-linear",
    dropout: float = 0.0,
    seed: int,
) -> PeftModel:
    """`model` with a LoRA adapter that is trained in its stead, drawn with `seed`."""
    set_seed(seed)
    targets = targets if isinstance(targets, str) else list(targets)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets
    )
    return get_peft_model(model, config)


def save_model(model: Any, tokenizer: Any, folder: Path, *, merge: bool = False) -> None:
    """π_θ as safetensors with its tokenizer, for `load_model` and for any other Hugging Face program.

    Of a model with an adapter the adapter alone is written, with the way to its base; a base on this
    machine is named relative to `folder`, so that both can be moved together. With `merge` one plain
    model is written, and `model` has no adapter to train any more.

    Raises:
        PolicyError: the tokenizer does not fit the model.
    """
    check_fit(model, tokenizer)
    if merge:
        model = model.merge_and_unload()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if isinstance(model, PeftModel):
        # peft's model card would name the base by its path on this machine.
        (folder / "README.md").unlink()
        settings = json.loads((folder / ADAPTER).read_text())
        base = Path(settings["base_model_name_or_path"])
        if base.is_dir():
            settings["base_model_name_or_path"] = os.path.relpath(base.resolve(), folder.resolve())
            (folder / ADAPTER).write_text(json.dumps(settings, indent=2))


class Loaded(NamedTuple):
    """A causal LM, in evaluation mode, and the tokenizer it was trained with."""

    model: Any
    tokenizer: Any


def load_model(
    path: str | Path, *, merge: bool = False, trainable: bool = False, dtype: str = "float32"
) -> Loaded:
    """π_θ from a folder of `save_model`, from any Hugging Face model folder, or from a hub's name.

    Args:
        merge: melt an adapter into its base; a plain model comes back.
        trainable: an adapter is to be trained on.
        dtype: of the parameters; float32 to train all of them, bfloat16 suits the base of an adapter.

    Raises:
        PolicyError: there is no such model, or its tokenizer does not fit.
    """
    folder = Path(path)
    try:
        if not (folder / ADAPTER).is_file():
            model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
        else:
            base = json.loads((folder / ADAPTER).read_text())["base_model_name_or_path"]
            beside = folder / base
            base = load_model(beside if beside.is_dir() else base, dtype=dtype).model
            model = PeftModel.from_pretrained(base, folder, is_trainable=trainable)
            model = model.merge_and_unload() if merge else model
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise PolicyError(
            f"{path}: no model can be read there ({error}); give a folder with config.json, model.safetensors "
            "and a tokenizer, or the name of a model that the hub's cache holds"
        ) from error
    check_fit(model, tokenizer)
    return Loaded(model.eval(), tokenizer)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a saved model alone."""
    return AutoTokenizer.from_pretrained(folder)


def check_fit(model: Any, tokenizer: Any) -> None:
    """Nothing, if every id the tokenizer can write is one the model knows.

    Raises:
        PolicyError: it is not.
    """
    known = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        raise PolicyError(
            f"the tokenizer writes ids up to {len(tokenizer) - 1}, the model knows {known}; it was trained with "
            "another tokenizer, or needs model.resize_token_embeddings(len(tokenizer))"
        )
