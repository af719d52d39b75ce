"""Convert a GGUF file into a model folder as `load_model` reads it: bfloat16 safetensors and a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers.pre_tokenizers import Digits
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from eefcore.errors import PolicyError
from eefcore.training.model_files import SAFE


def convert_gguf(file: Path, folder: Path) -> None:
    """Dequantise `file` with transformers, and save it in `folder` as a model that knows of no quantisation.

    Raises:
        PolicyError: transformers can't read it, or leaves out a part of it that changes what the model says.
    """
    try:
        pre_tokenizer = _check_faithful(file)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            file.parent,
            dtype=torch.bfloat16,
            quantization_config=_dequantise(),
            output_loading_info=True,
            gguf_file=file.name,
            **SAFE,
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, **SAFE)
    except PolicyError:
        raise
    except Exception as error:  # of gguf, transformers, tokenizers: each has errors of its own
        said = " ".join(str(error).split())[:300]
        raise PolicyError(
            f"{file}: expected a GGUF file that transformers can dequantise, got {type(error).__name__}: {said}; take "
            "another file of this model, or its folder with safetensors"
        ) from error
    model, info = loaded  # with `output_loading_info` it is a pair
    if missing := sorted(info["missing_keys"]):
        raise PolicyError(
            f"{file}: expected weights for every part of {type(model).__name__}, got none for {', '.join(missing[:3])}; "
            "take another file of this model, or its folder with safetensors"
        )
    if pre_tokenizer == "smollm":  # transformers leaves it out: each digit is split off before the rest is
        backend = tokenizer.backend_tokenizer
        backend.pre_tokenizer = PreTokenizers([Digits(individual_digits=True), backend.pre_tokenizer])
    _plain(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _dequantise() -> Any:
    """Return what asks transformers to dequantise; before 5.19 it always did, and had no word for it."""
    config = getattr(transformers, "GgufConfig", None)
    return config and config(dequantize=True)


def _plain(model: Any) -> Any:
    """Return the model without the quantisation that transformers remembers and does not save."""
    config = type(model.config).from_dict(
        {
            k: v
            for k, v in model.config.to_dict().items()
            if k not in ("quantization_config", "_model_name_or_path")
        }
    )
    with torch.device("meta"):
        plain = type(model)._from_config(config, dtype=model.dtype)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    return plain


def _check_faithful(file: Path) -> str:
    """Refuse scaled rotary positions, which transformers leaves out; return the name of the pre-tokenizer."""
    from gguf import GGUFReader

    reader = GGUFReader(file)
    scaled = [name for name in reader.fields if ".rope.scaling." in name and not name.startswith("gpt-oss.")]
    scaled += [tensor.name for tensor in reader.tensors if tensor.name.startswith("rope_")]
    if scaled:
        raise PolicyError(
            f"{file}: expected rotary positions without scaling, which is all that transformers reads of a GGUF file, "
            f"got {', '.join(scaled[:3])}; take the model's folder with safetensors"
        )
    field = reader.get_field("tokenizer.ggml.pre")
    return str(field.contents()) if field else ""
