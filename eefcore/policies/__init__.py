"""Policies: what writes the next action, from a language model of any size to a script."""

from __future__ import annotations

from pathlib import Path

from eefcore.errors import PolicyError
from eefcore.formats import AGENTLITE, format_named
from eefcore.protocols import Policy

_KINDS = (
    "hf:<folder or hub name>, openai:<base url>#<model>, vllm:<folder or hub name>, tiny, or a model folder"
)


def model_path(spec: str) -> str | Path:
    """Where the weights of `spec` are, to train on: `tiny`, a model folder, or a hub name, `hf:` before it or not."""
    if spec == "tiny":
        from eefcore.policies.tiny import BASE

        return BASE
    return spec.removeprefix("hf:")


def load_policy(
    spec: str,
    *,
    adapter: str | Path | None = None,
    format: str = "compact",
    slots: int = 64,
    max_new_tokens: int = 96,
    context: int | None = None,
) -> Policy:
    """The policy that `spec` names; `slots` episodes are played at a time.

        hf:meta-llama/Meta-Llama-3-8B-Instruct     transformers, with or without an adapter
        vllm:meta-llama/Meta-Llama-3-8B-Instruct   vLLM in this process
        openai:http://localhost:8000/v1#my-model   any OpenAI-compatible endpoint
        tiny                                       the tiny base that comes with the package
        results/quickstart/03_train/model          a saved model folder, by transformers

    An endpoint has its own adapters and context; `format: chat` speaks to its chat interface.

    Raises:
        PolicyError: no such policy, or one that can't do what is asked.
    """
    kind, _, rest = spec.partition(":")
    if kind == "openai":
        return _endpoint(spec, rest, adapter, format, slots, max_new_tokens, context)
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
    if spec == "tiny":
        from eefcore.policies.tiny import BASE

        return HFPolicy.load(BASE, **options)
    if Path(spec).is_dir():
        return HFPolicy.load(spec, **options)
    raise PolicyError(f"no policy {spec!r}: neither a folder here nor one of {_KINDS}")


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
