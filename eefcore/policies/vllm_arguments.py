"""Say with which arguments vLLM is started on a saved model, inside a process or as a server.

Everything that changes a likelihood is said and nothing is left to vLLM's defaults: raw log-likelihoods, those at
temperature 1; the dtype that training computes in; a head in float32; no top-p, top-k or penalty of the model's
`generation_config.json`. What is left is room: an engine with more of it gives the same answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec

from eefcore.errors import PolicyError
from eefcore.policies.settings import AdapterRank, VLLMOptions
from eefcore.training.model_files import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    ModelFiles,
    check_weights,
    has_tokenizer,
    is_adapter,
    read_json,
)

OWNER = "EEF_ENGINE_OWNER"
"""The environment variable that is set where this library starts an engine, so that the engine's processes know."""

SERVER = ("-m", "vllm.entrypoints.openai.api_server")
"""The arguments of Python that start vLLM's server; its own follow."""

MAY_LOAD_ADAPTERS = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
"""The environment variable that lets a server load adapters while it runs."""


class Room(msgspec.Struct, frozen=True):
    """The room of an engine.

    Attributes:
        slots: episodes that are decoded at a time.
        context: the longest dialogue with its answer, in tokens; None is what the model can.
        adapter_rank: the largest rank of an adapter; 0 is none at all.
    """

    slots: int
    context: int | None
    adapter_rank: int

    def holds(self, other: Room) -> bool:
        """Return whether an engine with this room could be asked for `other`."""
        return self.joined(other) == self

    def joined(self, other: Room) -> Room:
        """Return the least room that holds both."""
        contexts = (self.context, other.context)
        return Room(
            slots=max(self.slots, other.slots),
            context=None if None in contexts else max(c for c in contexts if c is not None),
            adapter_rank=max(self.adapter_rank, other.adapter_rank),
        )


class EngineModel(msgspec.Struct, frozen=True):
    """A whole model as vLLM computes with it: what its likelihoods follow from.

    Attributes:
        folder: of its weights.
        tokenizer: the folder of the tokenizer, by which vLLM finds the end mark in what is written.
        longest: the longest dialogue that the model can read, in tokens, on a CPU; None on a GPU.
    """

    folder: str
    tokenizer: str
    longest: int | None
    dtype: str
    block_size: int
    tensor_parallel: int
    eager: bool

    @classmethod
    def of(cls, files: ModelFiles, options: VLLMOptions, *, tokenizer: Path | None = None) -> EngineModel:
        """Return the base model in `files`, with what `options` leave open decided by this machine.

        Raises:
            PolicyError: its files can't be read, or vLLM can't serve them.
        """
        import torch

        if is_adapter(files.base.folder):
            raise PolicyError(
                f"{files.base.name}: vLLM serves an adapter on a whole model, and this base is itself an adapter; "
                "save it merged (save_model with merge=True), or use engine hf"
            )
        check_weights(files.base.folder)
        on_gpu = torch.cuda.is_available()
        own = files.base.folder if has_tokenizer(files.base.folder) else files.tokenizer
        return cls(
            folder=str(files.base.folder),
            tokenizer=str(tokenizer or own),
            longest=None if on_gpu else _longest_context(files),
            dtype=options.dtype or ("bfloat16" if on_gpu else "float32"),
            block_size=options.block_size or (16 if on_gpu else 32),
            tensor_parallel=options.tensor_parallel,
            eager=not on_gpu if options.eager is None else options.eager,
        )

    def arguments(self, room: Room, memory: float) -> dict[str, Any]:
        """Return the arguments of `vllm.LLM`, for an engine with a room and a share of the GPU's memory."""
        given = {
            "model": self.folder,
            "tokenizer": self.tokenizer,
            "trust_remote_code": False,
            "load_format": "safetensors",
            "dtype": self.dtype,
            "block_size": self.block_size,
            "tensor_parallel_size": self.tensor_parallel,
            "enforce_eager": self.eager,
            "max_num_seqs": room.slots,
            "max_model_len": room.context,
            "enable_prefix_caching": True,
            "logprobs_mode": "raw_logprobs",
            "generation_config": "vllm",
            "hf_overrides": {"head_dtype": "float32"},
        }
        if self.longest is None:  # a GPU
            given["gpu_memory_utilization"] = memory
        else:
            # A prompt that is read in two parts rewinds its random numbers, which a generator on a CPU can't do.
            longest = room.context or self.longest
            given |= {"enable_chunked_prefill": False, "max_num_batched_tokens": max(2 * longest, 4096)}
        if room.adapter_rank:
            given |= {"enable_lora": True, "max_lora_rank": room.adapter_rank}
        return given


def room_for(files: ModelFiles, options: VLLMOptions, *, slots: int, context: int | None) -> Room:
    """Return the room that the model in `files` needs.

    Raises:
        PolicyError: vLLM can't serve its adapter.
    """
    if files.adapter is None:
        return Room(slots, context, 0)
    check_weights(files.adapter, ADAPTER_WEIGHTS)
    return Room(slots, context, _adapter_rank(files.adapter, options))


def write_flags(arguments: dict[str, Any]) -> list[str]:
    """Return arguments of `vllm.LLM` as those of vLLM's command line; one that is None is left to vLLM."""
    flags: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            flags += [f"--{flag}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return flags


def _adapter_rank(adapter: Path, options: VLLMOptions) -> int:
    """Return the rank that the engine makes room for: the adapter's, rounded up to one that vLLM knows.

    Raises:
        PolicyError: vLLM can't serve such an adapter.
    """
    settings, ranks = read_json(adapter / ADAPTER), get_args(AdapterRank)
    rank = max([int(settings.get("r") or 0), *map(int, (settings.get("rank_pattern") or {}).values())])
    room = options.max_lora_rank or next((r for r in ranks if r >= rank), 0)
    if rank > room:
        raise PolicyError(
            f"{adapter}: expected an adapter of rank {options.max_lora_rank or ranks[-1]} at most, got {rank}; "
            "raise max_lora_rank in the engine's options, or use engine hf"
        )
    for name in ("modules_to_save", "use_dora"):
        if settings.get(name):
            raise PolicyError(
                f"{adapter}: vLLM serves no adapter with {name} {settings[name]!r}; save it merged (save_model with "
                "merge=True), or use engine hf"
            )
    return room


def _longest_context(files: ModelFiles) -> int:
    from eefcore.training.models import load_config

    return load_config(files.base.folder).get_text_config().max_position_embeddings
