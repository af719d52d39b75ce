"""The settings with which a stage plays a model: its text form, the engine that serves it, and its limits.

An engine is one parameter, with its options as in a URL:

    hf                                        transformers, with a slot cache (`eefcore.policies.hf_engine`)
    hf?dtype=bfloat16
    vllm                                      vLLM in this process (`eefcore.policies.vllm`)
    vllm?tensor_parallel=2&memory=0.5&critic_memory=0.3
    vllm_server                               vLLM's server, started once for a run (`eefcore.runs.servers`); options as of vllm
    openai:http://localhost:8000/v1           a vLLM server that is running (`eefcore.policies.openai.serving`)
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
from msgspec import Meta

from eefcore.errors import PolicyError, suggest

Dtype = Literal["float32", "bfloat16", "float16"]
Share = Annotated[float, Meta(gt=0, le=1)]
AdapterRank = Literal[1, 8, 16, 32, 64, 128, 256, 320, 512]
"""The largest ranks that vLLM can be told to make room for."""
Count = Annotated[int, Meta(ge=1)]

NO_VLLM = 'vLLM is not installed here: pip install "eefcore[vllm]", or use hf'


class HFOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="engine", tag="hf"):
    """The options of transformers.

    Attributes:
        dtype: of the weights and of what is computed; None is float32 on a CPU and bfloat16 on a GPU.
        device: a device of torch; `auto` is the first GPU, if there is one.
    """

    dtype: Dtype | None = None
    device: str = "auto"


class VLLMOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="engine", tag="vllm"):
    """The options of vLLM, by default what keeps its log-likelihoods near those of training.

    Attributes:
        dtype: of the weights; None is float32 on a CPU and bfloat16 on a GPU, as `hf` plays and training computes.
        block_size: tokens of a block of the prefix cache, which finds whole blocks alone; None is 32 on a CPU (where
            vLLM's own 128 is longer than a shop's page) and 16 on a GPU.
        tensor_parallel: GPUs over which each layer is divided.
        memory: share of the device's memory that the engine takes.
        critic_memory: the same of the engine of a critic that is another model; both must fit together.
        eager: without compilation; None is eager on a CPU, where an engine then starts in half the time.
        max_lora_rank: the largest rank of an adapter; None is that of the first adapter.
    """

    dtype: Dtype | None = None
    block_size: Literal[8, 16, 32, 64, 128] | None = None
    tensor_parallel: Count = 1
    memory: Share = 0.9
    critic_memory: Share = 0.4
    eager: bool | None = None
    max_lora_rank: AdapterRank | None = None


class RunServerOptions(VLLMOptions, frozen=True, tag="vllm_server"):
    """The options of vLLM's server that `eef run` starts for a run: those of vLLM.

    Attributes:
        max_lora_rank: the largest rank of an adapter; None is that of the adapters asked for so far. A larger one later starts the
            server anew.
    """


class ServerOptions(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="engine", tag="openai"
):
    """The options of a vLLM server that serves the models of stages.

    Attributes:
        url: its address, which usually ends in `/v1`.
        dtype: of its weights; it decides how near its log-likelihoods have to be to those of the saved model.
        key: the environment variable that holds the server's key, if it asks for one.
        timeout: seconds until a request is given up.
    """

    url: str
    dtype: Dtype = "bfloat16"
    key: str = "OPENAI_API_KEY"
    timeout: Annotated[float, Meta(gt=0)] = 120.0


Options = TypeVar("Options", bound=msgspec.Struct)
Engine = HFOptions | VLLMOptions | RunServerOptions | ServerOptions
PREFIXES: dict[str, type[HFOptions | VLLMOptions]] = {"hf": HFOptions, "vllm": VLLMOptions}
"""The engines of this process, by the prefix that names one before a model's own name."""
ENGINES: dict[str, type[HFOptions | VLLMOptions]] = {**PREFIXES, "vllm_server": RunServerOptions}
"""All engines by their names, but for a server at an address."""


def read_engine(text: str) -> Engine:
    """Return the engine that a parameter names, `vllm?block_size=32`, with its options checked.

    Raises:
        PolicyError: there is no such engine or option, a value does not fit, or vLLM is not installed.
    """
    kind, _, query = text.partition("?")
    if kind.startswith("openai:"):
        return _read_server(text, kind.removeprefix("openai:"), query)
    if kind not in ENGINES:
        raise PolicyError(
            f"engine {text!r}: expected one of {', '.join(ENGINES)}, with options as in vllm?block_size=32, or "
            "openai:<base url of a vLLM server>" + suggest(kind, ENGINES)
        )
    read = read_options(f"engine {text!r}", kind, query, ENGINES[kind], example=f"{kind}?dtype=float32")
    if isinstance(read, VLLMOptions) and find_spec("vllm") is None:
        raise PolicyError(f"engine {text!r}: {NO_VLLM}")
    return read


def _read_server(text: str, address: str, query: str) -> ServerOptions:
    try:
        url = urlsplit(address)
        valid = url.scheme in ("http", "https") and url.hostname and url.port != 0
        valid = valid and url.username is None and not url.fragment
    except ValueError:  # a port that is not a number
        valid = False
    if not valid:
        raise PolicyError(
            f"engine {text!r}: expected the base url of a vLLM server, as openai:http://localhost:8000/v1; the stage's own "
            "model is served there, so that none is named"
        )
    query = "&".join(filter(None, (f"url={quote(address)}", query)))
    example = "openai:http://localhost:8000/v1?dtype=float32"
    options = read_options(f"engine {text!r}", "openai", query, ServerOptions, example=example)
    return msgspec.structs.replace(options, url=options.url.rstrip("/"))


def read_options(where: str, kind: str, query: str, type: type[Options], *, example: str) -> Options:
    """Return the options that follow a question mark, checked.

    Raises:
        PolicyError: there is no such option, or a value does not fit.
    """
    names = type.__struct_fields__
    try:
        options = dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True)) if query else {}
        return msgspec.convert(options, type, strict=False)
    except ValueError as error:  # msgspec's own errors are ValueErrors as well
        unknown = re.search(r"unknown field `(.+?)`", str(error))
        raise PolicyError(
            f"{where}: {error}; {kind} takes {', '.join(names)}, as in {example}"
            + (suggest(unknown[1], names) if unknown else "")
        ) from error


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a stage plays a model.

    Attributes:
        format: how dialogues are written as text.
        template_args: arguments of the model's chat template (`rendering.formats.load_format`).
        engine: what serves a model folder or hub name; a prefix of the model's own name goes before (`load_policy`).
        slots: episodes that are played at a time.
        max_new_tokens: the longest action.
        context: the longest dialogue with its answer; None takes what the model can.
    """

    LIMITS: ClassVar = ("format", "template_args", "slots", "max_new_tokens", "context")

    format: str = "compact"
    template_args: str | None = None
    engine: Engine = HFOptions()
    slots: int = 64
    max_new_tokens: int = 96
    context: int | None = None

    @classmethod
    def of(cls, parameters: Any) -> PolicySettings:
        """Return the settings in a stage's parameters; a stage without the parameter `engine` plays with transformers."""
        engine = read_engine(parameters.engine) if hasattr(parameters, "engine") else HFOptions()
        limits: dict[str, Any] = {name: getattr(parameters, name) for name in cls.LIMITS}
        return cls(engine=engine, **limits)

    @property
    def limits(self) -> dict[str, Any]:
        """Return the limits with which a policy on this machine is loaded, whichever engine plays it."""
        return {name: getattr(self, name) for name in self.LIMITS}

    def for_critic(self) -> PolicySettings:
        """Return the settings of a critic that is loaded beside the policy, with its own share of the memory."""
        if isinstance(self.engine, VLLMOptions):
            engine = msgspec.structs.replace(self.engine, memory=self.engine.critic_memory)
            return msgspec.structs.replace(self, engine=engine)
        return self
