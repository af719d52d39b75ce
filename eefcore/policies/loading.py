"""Load the policy or the weights that a parameter names: a model here, one behind vLLM or an endpoint, or a tiny base."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from eefcore.errors import PolicyError, suggest
from eefcore.policies.conditioned import ConditionedPolicy
from eefcore.policies.openai.options import read_endpoint
from eefcore.policies.settings import (
    PREFIXES,
    PolicySettings,
    RunServerOptions,
    ServerOptions,
    VLLMOptions,
    read_engine,
)
from eefcore.protocols import Policy
from eefcore.rendering.formats import MESSAGES, Format, load_format
from eefcore.storage import stages
from eefcore.training.model_files import ADAPTER
from eefcore.training.model_store import PACKAGES, is_stored

_HERE = Path(__file__).parent
BASES = {
    "tiny": _HERE / "base",
    "tiny-qwen": _HERE / "base_qwen",
    "tiny-sciworld": _HERE / "base_sciworld",
    "tiny-composite": _HERE / "base_composite",
}
"""The folders of the committed tiny bases (`policies.tiny`), by name.

Two have read a shop, one has read ScienceWorld's house, and one is of a shop whose actions are composite and is its own
critic."""

DEFAULT_SETTINGS = PolicySettings()

_KINDS = (
    "hf:<folder or hub name>, openai:<base url>#<model>, vllm:<folder or hub name>, "
    f"{', '.join([*BASES, *PACKAGES])}, another name of `eef model list`, or a model folder"
)


def model_path(spec: str) -> str | Path:
    """Return where the weights of `spec` are, to train on: a folder, one of `BASES` among them, or a stored or hub name.

    `hf:` before a folder or a hub name changes nothing. The plan of a run asks too (`tracking.identity`), so that a
    missing base is known before anything starts.

    Raises:
        PolicyError: it is one of `BASES` that has not been made.
    """
    if spec in BASES:
        return _base_folder(spec)
    name = spec.removeprefix("hf:")
    if is_stored(name):
        return name
    folder = stages.workspace() / name  # wherever the notebook runs; an absolute path stays what it is
    return folder if folder.is_dir() else name


def holds_model(folder: Path) -> bool:
    """Return whether a folder holds a whole model or an adapter, by its configuration."""
    return any((folder / name).is_file() for name in ("config.json", ADAPTER))


def is_trainable(spec: str) -> bool:
    """Return whether the weights of `spec` can be here, to train on; `openai:` and `vllm:` models can only be asked."""
    return spec.partition(":")[0] not in ("openai", "vllm")


def load_policy(
    spec: str,
    settings: PolicySettings = DEFAULT_SETTINGS,
    *,
    adapter: str | Path | None = None,
    phrase: str | None = None,
) -> Policy:
    """Load the policy that `spec` names, to be played as `settings` say.

        results/quickstart/train.3-0a1b2c3d/model  a saved model folder, whole or an adapter, by the engine of the settings
        tiny, tiny-composite, …                    the tiny bases that come with the package (`BASES`), likewise
        smollm2, …                                 a model of the store (`eef model list`), fetched when first used, likewise
        hf:meta-llama/Meta-Llama-3-8B-Instruct     a folder or hub name, by transformers whatever the engine
        vllm:meta-llama/Meta-Llama-3-8B-Instruct   by vLLM in this process
        openai:http://localhost:8000/v1#my-model   any OpenAI-compatible endpoint, with options after a question mark
                                                   (`eefcore.policies.openai.options`)

    An endpoint has its own adapters. The formats of `rendering.formats.MESSAGES` speak to its chat interface, or send ids by
    the model's template if the options name a tokenizer. Its context is the server's as well, so that `context` bounds
    models of this machine alone: what is too long there ends as a context limit.

    Args:
        spec: which policy, in one of the forms above.
        settings: how it is played.
        adapter: the folder or hub name of an adapter of the model.
        phrase: a phrase that each prompt holds after its task (`ConditionedPolicy`); None adds nothing.

    Raises:
        PolicyError: there is no such policy, its engine is not installed, or it can't do what is asked.
    """
    check_policy(spec, format=settings.format)
    kind, _, name = spec.partition(":")
    policy: Policy
    if kind == "openai":
        policy = _load_endpoint(spec, adapter, settings)
    else:
        names_model = kind in PREFIXES or spec in BASES or is_stored(spec)
        path = model_path(name if kind == "vllm" else spec) if names_model else _model_folder(spec)
        engine = settings.engine
        if kind in PREFIXES and type(engine) is not PREFIXES[kind]:
            engine = read_engine(kind)
        if isinstance(engine, ServerOptions | RunServerOptions):
            from eefcore.policies.openai.serving import load_served
            from eefcore.training.model_files import find_files

            policy = load_served(find_files(path, adapter), engine, settings)
        elif isinstance(engine, VLLMOptions):
            from eefcore.policies.vllm import VLLMPolicy

            policy = VLLMPolicy.load(path, adapter=adapter, engine=engine, **settings.limits)
        else:
            from eefcore.policies.hf_engine.policy import HFPolicy

            policy = HFPolicy.load(
                path, adapter=adapter, device=engine.device, dtype=engine.dtype, **settings.limits
            )
    return ConditionedPolicy(policy, phrase) if phrase is not None else policy


def check_policy(spec: str, *, format: str) -> None:
    """Refuse a policy that `load_policy` would refuse, as far as that is known before anything is loaded.

    Only the stage that asks finds out whether an endpoint answers, or a hub has the model.

    Raises:
        PolicyError: there is no such policy, its engine is not installed, or it can't do what is asked.
    """
    kind, _, name = spec.partition(":")
    if kind == "openai":
        endpoint = read_endpoint(spec)
        # A function of the user's own is loaded where a stage runs.
        if ":" not in format and not endpoint.options.tokenizer:
            _endpoint_format(spec, format)
    elif kind in PREFIXES:
        if not name:
            raise PolicyError(f"{spec!r} names no model; expected {kind}:<folder or hub name>")
        read_engine(kind)
    elif spec in BASES:
        _base_folder(spec)
    elif not is_stored(spec):
        _model_folder(spec)


def check_base(spec: str) -> None:
    """Refuse weights to train on that are not here, as far as that is known before anything is fetched.

    Only the stage that trains finds out whether a hub has the model.

    Raises:
        PolicyError: a folder without a model, or a name that no hub could have.
    """
    path, name = model_path(spec), spec.removeprefix("hf:")
    if isinstance(path, Path):
        if not holds_model(path):
            raise PolicyError(
                f"base {spec!r}: {path} holds no model; expected a folder with config.json and weights"
            )
    elif is_trainable(spec) and not is_stored(path) and not _may_be_hub_name(name):
        raise PolicyError(
            f"base {spec!r}: no such model{suggest(name, (*BASES, *PACKAGES)) or ';'} expected {', '.join(BASES)}, a name "
            "of `eef model list`, a model folder seen from the workspace, or a hub name with its owner, as "
            "HuggingFaceTB/SmolLM2-135M-Instruct"
        )


def _may_be_hub_name(name: str) -> bool:
    """Return whether `name` is an owner and a model; in a folder of the workspace it is a path that leads nowhere."""
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", name)) and not (stages.workspace() / name).parent.is_dir()


def _model_folder(spec: str) -> Path:
    """Find the saved model that `spec` names: a folder from the workspace, wherever the notebook runs."""
    path = model_path(spec)
    if not spec or not isinstance(path, Path):
        raise PolicyError(f"no policy {spec!r}: neither a folder from the workspace nor one of {_KINDS}")
    if not holds_model(path):
        files = ", ".join(sorted(file.name for file in path.iterdir())[:8]) or "nothing"
        raise PolicyError(
            f"no policy {spec!r}: {path} holds no model: expected config.json and weights, got {files}; give the folder that "
            "a training stage or a download wrote"
        )
    return path


def _base_folder(name: str) -> Path:
    """Return the folder of a tiny base, and refuse one that has not been made."""
    folder = BASES[name]
    if not folder.is_dir() or not any(folder.iterdir()):  # an interrupted `make base` leaves an empty folder
        raise PolicyError(
            f"{name}: expected its weights in {folder}, and nothing is there; `make base` makes the tiny bases, "
            "notebooks/01_base one of them (params/notebooks/01_base*.yaml); or name another model"
        )
    return folder


def _load_endpoint(spec: str, adapter: str | Path | None, settings: PolicySettings) -> Policy:
    from eefcore.policies.openai.policy import OpenAIPolicy
    from eefcore.training.models import load_tokenizer

    endpoint = read_endpoint(spec)
    options = endpoint.options
    if adapter is not None:
        raise PolicyError(f"{spec!r}: an endpoint has its own adapters; start the server with them")
    tokenizer = load_tokenizer(model_path(options.tokenizer)) if options.tokenizer else None
    return OpenAIPolicy(
        endpoint.base_url,
        endpoint.model,
        _endpoint_format(spec, settings.format, settings.template_args, tokenizer),
        chat=tokenizer is None and settings.format in MESSAGES,
        tokenizer=tokenizer,
        server=options.server,
        concurrency=settings.slots,
        max_new_tokens=settings.max_new_tokens,
        timeout=options.timeout,
        attempts=options.attempts,
        key_variable=options.key,
        account=endpoint.account,
        cache=endpoint.cache,
    )


def _endpoint_format(
    spec: str, format: str, template_args: str | None = None, tokenizer: Any = None
) -> Format:
    """Return how an endpoint's dialogues are written: as ids, or as text or messages, whose template is the server's."""
    if tokenizer is not None:
        return load_format(format, tokenizer, template_args)
    if template_args is not None:
        raise PolicyError(
            f"{spec!r}: an endpoint has its own chat template; start the server with {template_args!r}, or send ids "
            "(server and tokenizer)"
        )
    return MESSAGES.get(format) or load_format(format)
