"""Load and save language models: π_θ with its tokenizer, whole or as a LoRA adapter of a base.

Everything that needs a model, a tokenizer or a config loads it here, whether to train it, to score with it or to play it,
so that all of them mean the same model by the same name. Weights are read from safetensors alone, and code that comes
with a model is never run.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from peft.utils.save_and_load import load_peft_weights, set_peft_model_state_dict
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    set_seed,
)

from eefcore.errors import PolicyError
from eefcore.training.canary import write_canary
from eefcore.training.model_files import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    BASE,
    CONFIG,
    BaseRecord,
    ModelFiles,
    Source,
    check_weights,
    describe_base,
    explain_load_errors,
    find_files,
    find_source,
    has_tokenizer,
    is_adapter,
    read_json,
    read_settings,
)
from eefcore.training.model_store import SAFE

_SOURCE, _RECORD = "eefcore_source", "eefcore_base"  # attributes of a base and of a model with an adapter


def add_adapter(
    model: Any,
    *,
    r: int,
    alpha: int,
    targets: str | Sequence[str] = "all-linear",
    dropout: float = 0.0,
    seed: int,
) -> PeftModel:
    """Put a LoRA adapter on `model`, drawn with `seed`; the adapter is trained and the model is not.

    Raises:
        PolicyError: `model` has an adapter already.
    """
    if isinstance(model, PeftModel):
        raise PolicyError(
            f"{model.get_base_model().name_or_path}: expected a model without an adapter, got one that has one; train that adapter "
            "(lora_r: 0), or load it with merge=True first"
        )
    set_seed(seed)
    targets = targets if isinstance(targets, str) else list(targets)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets
    )
    return _remember_base(get_peft_model(model, config))


def save_model(model: Any, tokenizer: Any, folder: Path, *, merge: bool = False) -> None:
    """Save π_θ as safetensors with its tokenizer, for `load_model` and for any other Hugging Face program.

    Of a model with an adapter only the adapter is written, with the way to its base and hashes of it (`base.json`); a
    base on this machine is named relative to `folder`, so that both can be moved together. With `merge` one plain
    model is written, and `model` has no adapter to train any more. What it gives a fixed text is written beside it, so that
    an engine can be asked whether it serves this model (`eefcore.training.canary`).

    Raises:
        PolicyError: the tokenizer does not fit the model, or the adapter's base was never saved.
    """
    _check_fit(model, tokenizer)
    if merge:
        model = _merge_adapter(model)
    if isinstance(model, PeftModel):
        _save_adapter(model, folder)
    else:
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_canary(model, tokenizer, folder)


class Loaded(NamedTuple):
    """A causal LM, in evaluation mode, and the tokenizer it was trained with."""

    model: Any
    tokenizer: Any


def load_model(
    path: str | Path,
    *,
    adapter: str | Path | None = None,
    merge: bool = False,
    trainable: bool = False,
    dtype: str | torch.dtype = "float32",
) -> Loaded:
    """Load π_θ from a folder of `save_model`, from any Hugging Face model folder, or from a hub name.

    Args:
        path: a folder, absolute or from the workspace, which may be an adapter's; or a hub name.
        adapter: the folder or hub name of an adapter, if `path` is its base.
        merge: merge an adapter into its base; a plain model comes back.
        trainable: an adapter is to be trained on.
        dtype: of the parameters; float32 to train all of them, bfloat16 suits the base of an adapter.

    Raises:
        PolicyError: there is no such model, its files can't be read, its adapter has another base or other weights than
            its config says, or its tokenizer does not fit.
    """
    files = find_files(path, adapter)
    model = _load_base(files.base, dtype)
    if files.adapter is not None:
        model = _load_adapter(model, files.adapter, files.base, trainable=trainable)
        if merge:
            model = _set_source(_merge_adapter(model), Source(str(files.adapter), files.adapter))
    tokenizer = _load_tokenizer(files)
    _check_fit(model, tokenizer)
    return Loaded(model.eval(), tokenizer)


def load_tokenizer(path: str | Path) -> Any:
    """Load the tokenizer of a saved model alone.

    Raises:
        PolicyError: there is no such model, or its tokenizer can't be read.
    """
    source = find_source(path)
    return _load_tokenizer(ModelFiles(source, None) if has_tokenizer(source.folder) else find_files(path))


def load_config(path: str | Path, *, local_files_only: bool = False) -> PretrainedConfig:
    """Load the config of a model, or of an adapter's base.

    Raises:
        PolicyError: there is no such model, its config can't be read, or transformers does not know its architecture.
    """
    base, settings = read_settings(path, local_files_only=local_files_only)
    if (kind := settings.get("model_type")) not in CONFIG_MAPPING:
        own = " and brings code of its own, which is never run" if "auto_map" in settings else ""
        raise PolicyError(
            f"{base.name}: unknown architecture: expected a model_type that this transformers knows in {CONFIG}, "
            f"got {kind!r}{own}; take another model, or a newer transformers"
        )
    with explain_load_errors("config", base.folder):
        return AutoConfig.from_pretrained(base.folder, **SAFE)


def load_generation_config(path: str | Path) -> GenerationConfig:
    """Load how a model, or an adapter's base, ends a text; of one without such a file, as its config says."""
    folder = find_files(path).base.folder
    if (folder / "generation_config.json").is_file():
        with explain_load_errors("generation config", folder):
            return GenerationConfig.from_pretrained(folder)
    return GenerationConfig.from_model_config(load_config(folder))


def _check_fit(model: Any, tokenizer: Any) -> None:
    """Check that the model knows every id that the tokenizer can write.

    Raises:
        PolicyError: it does not.
    """
    known = len(model.get_input_embeddings().weight)
    if len(tokenizer) > known:
        raise PolicyError(
            f"the tokenizer writes ids up to {len(tokenizer) - 1}, the model knows {known}; it was trained with "
            "another tokenizer, or needs model.resize_token_embeddings(len(tokenizer))"
        )


def _load_base(source: Source, dtype: str | torch.dtype) -> Any:
    """Load a model without an adapter; if the base is itself an adapter's folder, merge that into its own base."""
    if is_adapter(source.folder):
        return load_model(source.folder, merge=True, dtype=dtype).model
    config = load_config(source.folder)
    check_weights(source.folder)
    with explain_load_errors("model", source.folder):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source.folder, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True, **SAFE
        )
    model, info = loaded  # with `output_loading_info` it is a pair
    if missing := sorted(info["missing_keys"]):
        raise PolicyError(
            f"{source.name}: expected weights for every part of {type(model).__name__}, got none for "
            f"{_name_first(missing)}; the files and {CONFIG} are of two models: copy the model again"
        )
    return _set_source(model, source)


def _load_tokenizer(files: ModelFiles) -> Any:
    with explain_load_errors("tokenizer", files.tokenizer):
        return AutoTokenizer.from_pretrained(files.tokenizer, **SAFE)


def _load_adapter(model: Any, folder: Path, base: Source, *, trainable: bool) -> PeftModel:
    """Put the adapter saved in `folder` on `model`, which was loaded from `base`.

    Raises:
        PolicyError: weights are missing, left over or of another shape.
    """
    check_weights(folder, ADAPTER_WEIGHTS)
    with explain_load_errors(f"adapter, whose base is {base.name},", folder):
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = not trainable
        config.base_model_name_or_path = model.name_or_path
        weights = load_peft_weights(str(folder), device="cpu")
        _resize(model, weights)
        adapted = get_peft_model(model, config)
        result = set_peft_model_state_dict(adapted, weights)
    prefix = PEFT_TYPE_TO_PREFIX_MAPPING.get(config.peft_type, "")
    own = [n for n in result.missing_keys if prefix and prefix in n]
    besides = [n for n in result.unexpected_keys if not _is_copy(n, weights)]
    for kind, names in (("misses", own), ("has besides", besides)):
        if names:
            raise PolicyError(
                f"{folder}: the adapter does not fit {base.name}: expected exactly the weights that {ADAPTER} "
                f"asks for there, got a file that {kind} {_name_first(sorted(names))}; was it trained on another base?"
            )
    return _remember_base(adapted) if trainable else adapted


def _is_copy(name: str, weights: Mapping[str, torch.Tensor]) -> bool:
    """Return whether a weight is the second copy of a layer that peft saves whole, where its embeddings were resized."""
    original = weights.get(name.replace(".modules_to_save.", "."))
    return ".modules_to_save." in name and original is not None and torch.equal(original, weights[name])


def _resize(model: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Give the base as many embeddings as the adapter was saved with, if tokens were added before it was trained."""
    embeddings = model.get_input_embeddings()
    (name,) = [n for n, module in model.named_modules() if module is embeddings][:1]
    saved = weights.get(f"base_model.model.{name}.weight")
    if saved is not None and len(saved) != embeddings.num_embeddings:
        model.resize_token_embeddings(len(saved))


def _merge_adapter(model: PeftModel) -> Any:
    """Merge the adapter into its base, which first gets a head of its own if the adapter changes tied embeddings."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    config = model.config.get_text_config()
    if config.tie_word_embeddings and any(isinstance(m, BaseTunerLayer) for m in (head, embeddings)):
        layer = head.get_base_layer() if isinstance(head, BaseTunerLayer) else head
        layer.weight = torch.nn.Parameter(layer.weight.detach().clone())
        model.config.tie_word_embeddings = config.tie_word_embeddings = False
    with warnings.catch_warnings():  # of layers saved whole, peft itself unties the embeddings, and says so
        warnings.filterwarnings("ignore", "Input and output embeddings are no longer tied")
        return model.merge_and_unload()


def _set_source(model: Any, source: Source) -> Any:
    """Return `model` with the name that an adapter's config shall give it, and the folder it came from."""
    model.name_or_path = source.name
    setattr(model, _SOURCE, source)
    return model


def _remember_base(model: PeftModel) -> PeftModel:
    """Record the adapter's base as it is now, before training, for `_save_adapter`."""
    setattr(model, _RECORD, _base_record(model))
    return model


def _base_record(model: PeftModel) -> BaseRecord | None:
    """Return what the adapter's base is, as it was when the adapter was put on it; None if it has no place."""
    source = _base_source(model)
    return getattr(model, _RECORD, None) or (describe_base(source) if source else None)


def _base_source(model: PeftModel) -> Source | None:
    """Return where the adapter's base came from; None if it was made in memory."""
    base: Any = model.get_base_model()
    return getattr(base, _SOURCE, None) or (find_source(base.name_or_path) if base.name_or_path else None)


def _save_adapter(model: PeftModel, folder: Path) -> None:
    record, source = _base_record(model), _base_source(model)
    if record is None:
        raise PolicyError(
            f"{folder}: expected an adapter whose base is a folder or a hub name, got a base that was made in memory; "
            "save the base, load it with load_model, and train the adapter on that"
        )
    vocabulary = load_config(source.folder).get_text_config().vocab_size if source else 0
    embeddings = model.get_input_embeddings()
    resized = not isinstance(embeddings, ModulesToSaveWrapper) and len(embeddings.weight) != vocabulary
    # Unless it is told, peft looks for the base's config by its name, on the hub too.
    model.save_pretrained(str(folder), save_embedding_layers=resized)
    # peft's model card would name the base by its path on this machine.
    (folder / "README.md").unlink(missing_ok=True)
    if Path(record.name).is_absolute():
        record = msgspec.structs.replace(record, name=os.path.relpath(record.name, folder.resolve()))
    settings = read_json(folder / ADAPTER) | {"base_model_name_or_path": record.name}
    (folder / ADAPTER).write_text(json.dumps(settings, indent=2))
    (folder / BASE).write_bytes(msgspec.json.format(msgspec.json.encode(record)))


def _name_first(names: Sequence[str]) -> str:
    """Name the first three of `names` and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
