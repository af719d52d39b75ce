"""Play a saved model by a vLLM server: its base as it is, an adapter loaded there by name.

The server is one that the run keeps (`lease`), or one that somebody started:

    python -m vllm.entrypoints.openai.api_server --model <base> --enable-lora --max-lora-rank 64 --generation-config vllm
    VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 in its environment

One server can so play every stage of a run, and several runs. The server reads the adapter from its folder, so it has to be on
this machine or to share its file system. An adapter's name ends in a hash of its weights: a server would answer from its cache
for other weights under an old name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import msgspec

from eefcore.errors import PolicyError
from eefcore.policies.hf_engine.sampling import end_ids
from eefcore.policies.openai.client import authorization, hide_key
from eefcore.policies.openai.lease import KEY, ServerRequest, lease_server
from eefcore.policies.openai.policy import OpenAIPolicy
from eefcore.policies.settings import PolicySettings, RunServerOptions, ServerOptions
from eefcore.policies.vllm_arguments import MAY_LOAD_ADAPTERS, SERVER, EngineModel, room_for
from eefcore.rendering.formats import load_format
from eefcore.rendering.renderer import Renderer
from eefcore.storage.hashing import hash_folder
from eefcore.training.canary import check_canary, read_canary
from eefcore.training.model_files import ADAPTER_WEIGHTS, ModelFiles, check_weights
from eefcore.training.models import load_generation_config, load_tokenizer

_START = f"start it with `python {' '.join(SERVER)} --model <base> --enable-lora --max-lora-rank <rank>` and {MAY_LOAD_ADAPTERS}=1"

RUN_TIMEOUT = 600.0
"""Seconds until a request to the run's own server is given up; the requests of several stages may wait in it."""


def load_served(
    files: ModelFiles, engine: ServerOptions | RunServerOptions, settings: PolicySettings
) -> OpenAIPolicy:
    """Return the policy of a saved model that a vLLM server serves; ids go out and come back.

    Raises:
        PolicyError: there is no such server, or it does not serve this model.
    """
    lease = None
    if isinstance(engine, RunServerOptions):
        request = server_request(files, engine, slots=settings.slots, context=settings.context)
        lease = lease_server(request)
        dtype: Any = request.model.dtype
        engine = ServerOptions(lease.url, dtype=dtype, key=KEY, timeout=RUN_TIMEOUT)
    tokenizer = load_tokenizer(files.tokenizer)
    format = load_format(settings.format, tokenizer, settings.template_args)
    return OpenAIPolicy(
        engine.url,
        serve(files, engine),
        format,
        tokenizer=tokenizer,
        context=settings.context,
        end_ids=end_ids(load_generation_config(files.base.folder), Renderer(tokenizer, format)),
        lease=lease,
        concurrency=settings.slots,
        max_new_tokens=settings.max_new_tokens,
        timeout=engine.timeout,
        key_variable=engine.key,
    )


def server_request(
    files: ModelFiles, options: RunServerOptions, *, slots: int, context: int | None
) -> ServerRequest:
    """Return what the run is asked for to serve a saved model; room for adapters is made as soon as their rank is known.

    Raises:
        PolicyError: its files can't be read, or vLLM can't serve them.
    """
    room = room_for(files, options, slots=slots, context=context)
    if not room.adapter_rank and options.max_lora_rank:
        room = msgspec.structs.replace(room, adapter_rank=options.max_lora_rank)
    path = Path(files.base.name)
    name = path.parent.name if path.name == "model" and path.parent.name else path.name
    return ServerRequest(EngineModel.of(files, options), room, name, options.memory)


def serve(files: ModelFiles, options: ServerOptions) -> str:
    """Ask a running vLLM server to serve a saved model, and return the name to request it by.

    Raises:
        PolicyError: the server is not there, serves another base, refuses the adapter, or answers with other weights.
    """
    with httpx.Client(timeout=options.timeout, headers=authorization(options.key)) as http:
        models = _ask(http, options, "GET", "/models")["data"]
        base = str(files.base.folder)
        served = [m["id"] for m in models if not m.get("parent") and m.get("root") in (base, files.base.name)]
        if not served:
            there = ", ".join(str(m.get("root")) for m in models if not m.get("parent")) or "nothing"
            raise PolicyError(
                f"{options.url}: expected a server of {files.base.name}, got one of {there}; {_START}; or use engine vllm, "
                "which loads whole models too"
            )
        name, folder = served[0], files.base.folder
        if files.adapter is not None:
            folder = files.adapter
            check_weights(folder, ADAPTER_WEIGHTS)
            name = f"{folder.parent.name}-{hash_folder(folder)[:16]}"
            if name not in {m["id"] for m in models}:
                _load_adapter(http, options, name, folder)
        if (canary := read_canary(folder)) is not None:
            logps = _score(http, options, name, canary.tokens)
            check_canary(canary, logps, dtype=options.dtype, model=name)
    return name


def _load_adapter(http: httpx.Client, options: ServerOptions, name: str, folder: Path) -> None:
    try:
        _ask(http, options, "POST", "/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
    except PolicyError:  # another stage may have loaded it meanwhile, which the server refuses to do twice
        if name not in {m["id"] for m in _ask(http, options, "GET", "/models")["data"]}:
            raise


def _ask(
    http: httpx.Client, options: ServerOptions, method: str, path: str, body: dict[str, Any] | None = None
) -> Any:
    url = options.url + path
    try:
        response = http.request(method, url, json=body)
    except httpx.TransportError as error:
        raise PolicyError(f"{url}: expected a vLLM server, got {error}; {_START}") from error
    if response.status_code != 200:
        words = hide_key(response.text, options.key)[:300]
        raise PolicyError(f"{url}: the server answered {response.status_code}: {words}; {_START}")
    try:
        return response.json()
    except ValueError:
        return response.text  # of a loaded adapter: a sentence


def _score(http: httpx.Client, options: ServerOptions, model: str, tokens: list[int]) -> list[float]:
    """Return log π of each of `tokens` after the first, as the server computes it."""
    request = {"model": model, "prompt": tokens, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
    choice = _ask(http, options, "POST", "/completions", request)["choices"][0]
    scored = choice["prompt_logprobs"][1:]
    return [float(at[str(token)]["logprob"]) for at, token in zip(scored, tokens[1:], strict=True)]
