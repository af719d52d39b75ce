"""Put LoRA adapters on their base, load them, merge them, and keep track of which base it is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from peft.utils.save_and_load import load_peft_weights, set_peft_model_state_dict

from eefcore.errors import PolicyError
from eefcore.training.model_files import ADAPTER, ADAPTER_WEIGHTS, check_weights, explain_load_errors
from eefcore.training.model_sources import BaseRecord, Source, describe_base, find_source

_SOURCE, _RECORD = "eefcore_source", "eefcore_base"  # attributes of a base and of a model with an adapter


def load_adapter(model: Any, folder: Path, base: Source, *, trainable: bool) -> PeftModel:
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
    # peft writes a layer that is saved whole twice where its embeddings were resized; the second is the same.
    again = {
        n
        for n in {*result.unexpected_keys} & {*weights}
        if (twin := weights.get(n.replace(".modules_to_save.", "."))) is not None
        and ".modules_to_save." in n
        and torch.equal(twin, weights[n])
    }
    besides = [n for n in result.unexpected_keys if n not in again]
    for kind, names in (("misses", own), ("has besides", besides)):
        if names:
            raise PolicyError(
                f"{folder}: the adapter does not fit {base.name}: expected exactly the weights that {ADAPTER} "
                f"asks for there, got a file that {kind} {name_first(sorted(names))}; was it trained on another base?"
            )
    if trainable:
        remember_base(adapted)
    return adapted


def _resize(model: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Give the base as many embeddings as the adapter was saved with, if tokens were added before it was trained."""
    embeddings = model.get_input_embeddings()
    (name,) = [n for n, module in model.named_modules() if module is embeddings][:1]
    saved = weights.get(f"base_model.model.{name}.weight")
    if saved is not None and len(saved) != embeddings.num_embeddings:
        model.resize_token_embeddings(len(saved))


def merge_adapter(model: PeftModel) -> Any:
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


def set_source(model: Any, source: Source) -> Any:
    """Return `model` with the name that an adapter's config shall give it, and the folder it came from."""
    model.name_or_path = source.name
    setattr(model, _SOURCE, source)
    return model


def remember_base(model: PeftModel) -> None:
    """Hash the adapter's base as it is now, for `base_record` when the adapter is saved."""
    setattr(model, _RECORD, base_record(model))


def base_record(model: PeftModel) -> BaseRecord | None:
    """Return what the adapter's base is, as it was when the adapter was put on it; None if it has no place."""
    source = base_source(model)
    return getattr(model, _RECORD, None) or (describe_base(source) if source else None)


def base_source(model: PeftModel) -> Source | None:
    """Return where the adapter's base came from; None if it was made in memory."""
    found = getattr(model.get_base_model(), _SOURCE, None)
    return found or (find_source(base_name(model)) if base_name(model) else None)


def must_save_embeddings(model: PeftModel, vocabulary: int) -> bool:
    """Return whether the embeddings are neither the base's, which has `vocabulary` of them, nor saved anyway."""
    embeddings = model.get_input_embeddings()
    return not isinstance(embeddings, ModulesToSaveWrapper) and len(embeddings.weight) != vocabulary


def base_name(model: PeftModel) -> str:
    """Return the folder or hub name of the adapter's base; empty if it was made in memory."""
    return str(model.get_base_model().name_or_path or "")


def name_first(names: Sequence[str]) -> str:
    """Name the first three of `names` and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
