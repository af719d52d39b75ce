"""Policies: what writes the next action, from a language model of any size to a script."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from eefcore.errors import PolicyError
from eefcore.policies.conditioned import Conditioned
from eefcore.protocols import Policy
from eefcore.rendering.formats import AGENTLITE, Format, LastPageChatFormat, load_format
from eefcore.storage import stages

_HERE = Path(__file__).parent
BASES = {
    "tiny": _HERE / "base",
    "tiny-qwen": _HERE / "base_qwen",
    "tiny-sciworld": _HERE / "base_sciworld",
    "tiny-composite": _HERE / "base_composite",
}
"""The committed tiny bases (`policies.tiny`): two that have read a shop, one that has read ScienceWorld's house, and one
of a shop whose actions are composite and which is its own critic."""

NO_VLLM = 'vLLM is not installed here: pip install "eefcore[vllm]", or use hf:…'

_KINDS = (
    "hf:<folder or hub name>, openai:<base url>#<model>, vllm:<folder or hub name>, "
    f"{', '.join(BASES)}, or a model folder"
)


TEMPLATED = ("agentgym", LastPageChatFormat.name)
"""Formats that are written with a chat template of a tokenizer, which an endpoint keeps to itself; `chat` is messages there."""


def model_path(spec: str) -> str | Path:
    """Where the weights of `spec` are, to train on: one of `BASES`, a folder from the workspace, or a hub name (`hf:` or not).

    A plan asks as well (`runs.identity`), so that a base which is not there is known before anything starts.

    Raises:
        PolicyError: one of `BASES` that has not been made.
    """
    if spec in BASES:
        return _base(spec)
    named = spec.removeprefix("hf:")
    folder = stages.workspace() / named  # wherever the notebook runs; an absolute path stays what it is
    return folder if folder.is_dir() else named


def trainable(spec: str) -> bool:
    """Whether the weights of `spec` can be here, to train on; what `openai:` and `vllm:` name is only asked."""
    return spec.partition(":")[0] not in ("openai", "vllm")


def load_policy(
    spec: str,
    *,
    adapter: str | Path | None = None,
    format: str = "compact",
    slots: int = 64,
    max_new_tokens: int = 96,
    context: int | None = None,
    phrase: str = "",
) -> Policy:
    """The policy that `spec` names; `slots` episodes are played at a time, each asked with `phrase` if there is one.

        hf:meta-llama/Meta-Llama-3-8B-Instruct     transformers, with or without an adapter
        vllm:meta-llama/Meta-Llama-3-8B-Instruct   vLLM in this process
        openai:http://localhost:8000/v1#my-model   any OpenAI-compatible endpoint
        tiny, tiny-composite, …                    the tiny bases that come with the package (`BASES`)
        results/quickstart/03_train/model          a saved model folder, by transformers

    An endpoint has its own adapters; `format: chat` speaks to its chat interface. Its context is the server's as well,
    so that `context` bounds models of this machine alone: what is too long there ends as a context limit.

    Raises:
        PolicyError: no such policy, or one that can't do what is asked.
    """
    check_policy(spec, format=format)
    if spec.partition(":")[0] == "openai":
        policy = _endpoint(spec, adapter, format, slots, max_new_tokens)
    else:
        policy = _local(spec, adapter, format, slots, max_new_tokens, context)
    return Conditioned(policy, phrase) if phrase else policy


def _local(
    spec: str, adapter: str | Path | None, format: str, slots: int, max_new_tokens: int, context: int | None
) -> Policy:
    kind, _, rest = spec.partition(":")
    options = {
        "adapter": adapter,
        "format": format,
        "slots": slots,
        "max_new_tokens": max_new_tokens,
        "context": context,
    }
    if kind == "vllm":
        from eefcore.policies.vllm import VLLMPolicy

        return VLLMPolicy.load(model_path(rest), **options)
    from eefcore.policies.hf_engine.policy import HFPolicy

    return HFPolicy.load(
        model_path(spec) if kind == "hf" or spec in BASES else _model_folder(spec), **options
    )


def check_policy(spec: str, *, format: str) -> None:
    """Refuse a policy that `load_policy` would refuse, as far as it can be told before anything is loaded.

    Whether an endpoint answers, or a hub has the model, only the stage that asks it finds out.

    Raises:
        PolicyError: no such policy, or one that can't do what is asked.
    """
    kind, _, rest = spec.partition(":")
    if kind == "openai":
        _address(spec)
        if ":" not in format:  # a function of the user's own is loaded where a stage runs
            _written(spec, format)
    elif kind in ("hf", "vllm"):
        if not rest:
            raise PolicyError(f"{spec!r} names no model; expected {kind}:<folder or hub name>")
        if kind == "vllm" and find_spec("vllm") is None:
            raise PolicyError(NO_VLLM)
    elif spec in BASES:
        _base(spec)
    else:
        _model_folder(spec)


def _model_folder(spec: str) -> Path:
    """Find the saved model that `spec` names: a folder from the workspace, wherever the notebook runs."""
    path = model_path(spec)
    if not spec or not isinstance(path, Path):
        raise PolicyError(f"no policy {spec!r}: neither a folder from the workspace nor one of {_KINDS}")
    return path


def _base(name: str) -> Path:
    folder = BASES[name]
    if not folder.is_dir() or not any(folder.iterdir()):  # what `make base` was stopped in is empty
        raise PolicyError(
            f"{name}: expected its weights in {folder}, and nothing is there; `make base` makes the tiny bases, "
            "notebooks/01_base one of them (params/notebooks/01_base*.yaml); or name another model"
        )
    return folder


def _endpoint(
    spec: str,
    adapter: str | Path | None,
    format: str,
    slots: int,
    max_new_tokens: int,
) -> Policy:
    from eefcore.policies.openai import OpenAIPolicy

    base_url, model = _address(spec)
    if adapter is not None:
        raise PolicyError(f"{spec!r}: an endpoint has its own adapters; start the server with them")
    return OpenAIPolicy(
        base_url,
        model,
        _written(spec, format),
        chat=format == "chat",
        concurrency=slots,
        max_new_tokens=max_new_tokens,
    )


def _address(spec: str) -> tuple[str, str]:
    """The base URL and the model of `openai:<base url>#<model>`."""
    base_url, _, model = spec.partition(":")[2].partition("#")
    try:
        url = urlsplit(base_url)
        there = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is no number
        there = False
    if not there or not model:
        raise PolicyError(
            f"{spec!r} should be openai:<base url>#<model>, as openai:http://localhost:8000/v1#llama"
        )
    return base_url, model


def _written(spec: str, format: str) -> Format:
    """How an endpoint's dialogues are written: as text, or as messages, whose template is the server's."""
    if format == "chat":
        return AGENTLITE
    if format in TEMPLATED:
        raise PolicyError(
            f"{spec!r}: format {format!r} writes with a chat template, which is the server's; use chat, or a format "
            "of text such as agentlite"
        )
    return load_format(format)
