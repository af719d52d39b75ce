"""Policies: what writes the next action, from a language model of any size to a script."""

from __future__ import annotations

from pathlib import Path

from eefcore import store
from eefcore.errors import PolicyError
from eefcore.formats import AGENTLITE, format_named
from eefcore.policies.conditioned import Conditioned
from eefcore.protocols import Policy

_HERE = Path(__file__).parent
BASES = {
    "tiny": _HERE / "base",
    "tiny-qwen": _HERE / "base_qwen",
    "tiny-sciworld": _HERE / "base_sciworld",
    "tiny-composite": _HERE / "base_composite",
}
"""The committed tiny bases (`policies.tiny`): two that have read a shop, one that has read ScienceWorld's house, and one
of a shop whose actions are composite and which is its own critic."""

_KINDS = (
    "hf:<folder or hub name>, openai:<base url>#<model>, vllm:<folder or hub name>, "
    f"{', '.join(BASES)}, or a model folder"
)


def model_path(spec: str) -> str | Path:
    """Where the weights of `spec` are, to train on: one of `BASES`, a folder from the workspace, or a hub name (`hf:` or not).

    A plan asks as well (`runs.identity`), so that a base which is not there is known before anything starts.

    Raises:
        PolicyError: one of `BASES` that has not been made.
    """
    if spec in BASES:
        return _base(spec)
    named = spec.removeprefix("hf:")
    folder = store.workspace() / named  # wherever the notebook runs; an absolute path stays what it is
    return folder if folder.is_dir() else named


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

    An endpoint has its own adapters and context; `format: chat` speaks to its chat interface.

    Raises:
        PolicyError: no such policy, or one that can't do what is asked.
    """
    kind, _, rest = spec.partition(":")
    if kind == "openai":
        policy = _endpoint(spec, rest, adapter, format, slots, max_new_tokens, context)
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

        return VLLMPolicy.load(rest, **options)
    from eefcore.policies.hf import HFPolicy

    if kind == "hf":
        return HFPolicy.load(rest, **options)
    if spec in BASES:
        return HFPolicy.load(_base(spec), **options)
    if Path(spec).is_dir():
        return HFPolicy.load(spec, **options)
    raise PolicyError(f"no policy {spec!r}: neither a folder here nor one of {_KINDS}")


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
    rest: str,
    adapter: str | Path | None,
    format: str,
    slots: int,
    max_new_tokens: int,
    context: int | None,
) -> Policy:
    from eefcore.policies.openai import OpenAIPolicy

    base_url, _, model = rest.partition("#")
    if not base_url or not model:
        raise PolicyError(
            f"{spec!r} should be openai:<base url>#<model>, as openai:http://localhost:8000/v1#llama"
        )
    if adapter is not None or context is not None:
        raise PolicyError(
            f"{spec!r}: an endpoint has its own adapters and context; start the server with them"
        )
    chat = format == "chat"
    written = AGENTLITE if chat else format_named(format)
    return OpenAIPolicy(base_url, model, written, chat=chat, concurrency=slots, max_new_tokens=max_new_tokens)
