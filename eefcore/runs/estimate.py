"""Estimate what a plan needs before anything starts: simulations, steps, tokens, optimiser steps, memory.

The estimate is arithmetic on parameters. The number of simulations that win, and so become training rows, is not known
beforehand: rows, optimiser steps and trained tokens are upper limits. Tokens and steps of an episode are given twice:
for a typical episode (`envs.registry`), and at most (turn limit, longest action and context).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from eefcore.envs.registry import EpisodeSize, card_name, max_turns, typical_episode
from eefcore.errors import PolicyError
from eefcore.experts.prompted import choose_prompt, expert_name, language_models, split_experts
from eefcore.policies.loading import model_path
from eefcore.runs.plan import Node, upstream
from eefcore.search.critic import NONE, is_tunable
from eefcore.storage.stage_inputs import StageInputs
from eefcore.training.model_files import read_settings
from eefcore.types import Value
from eefcore.variables import expand_variables

PLAYING = ("explore", "search", "evaluate", "decide")
"""Stages in which a policy plays."""


class Work(NamedTuple):
    """The estimated work of stages: simulations, episodes, tokens, rows and optimiser steps.

    Attributes:
        simulations: episodes that explore, at most.
        evaluated: episodes on a panel.
        typical: of all these episodes, if they are typical (`envs.registry`).
        most: of all these episodes, at most.
        rows: training examples at most; of a preference pair, two.
        optimiser_steps: at most.
        tokens_trained: with a loss, times epochs, if every row is typical.
        demonstrations: episodes of language models as experts, those on the test panel among them.
    """

    simulations: int = 0
    evaluated: int = 0
    typical: EpisodeSize = EpisodeSize(0, 0, 0)
    most: EpisodeSize = EpisodeSize(0, 0, 0)
    rows: int = 0
    optimiser_steps: int = 0
    tokens_trained: int = 0
    demonstrations: int = 0


def work(node: Node) -> Work:
    """Estimate the work of one stage; a stage that neither plays nor trains has none."""
    kind, given = node.notebook.stage, node.params
    if kind == "expert" and (models := _expert_models(node)):
        played = len(models) * (tasks(node, "train") * node.integer("samples") + tasks(node, "test"))
        typical, most = episode(node).times(played), _longest(node).times(played)
        return Work(typical=typical, most=most, demonstrations=played)
    if kind in PLAYING and "sizes" in given:
        simulations = evaluated = 0
        if kind == "explore":
            simulations = tasks(node, "train") * node.integer("samples")
            states = experts(node.inputs["experts"], _text(given["explore_from"])) * node.integer("M")
            simulations += states * node.integer("repeats")
        elif kind == "search":
            simulations = tasks(node, "train") * node.integer("simulations")
        else:
            evaluated = tasks(node, str(given["split"]))
        played = simulations + evaluated * (1 + _searched(node))
        typical, most = episode(node).times(played), _longest(node).times(played)
        return Work(simulations=simulations, evaluated=evaluated, typical=typical, most=most)
    if kind in ("train", "dpo", "tune") and "format" in given:
        examples, epochs = rows(node), node.integer("epochs")
        sides = 2 if kind == "dpo" else 1
        return Work(
            rows=sides * examples,
            optimiser_steps=ceil(examples / node.integer("batch_size")) * epochs,
            tokens_trained=sides * examples * epochs * episode(node).written,
        )
    return Work()


def total(works: Iterable[Work]) -> Work:
    """Return the sum of `works`."""
    simulations, evaluated, typical, most, rows, steps, tokens, played = zip(Work(), *works, strict=True)
    sizes = [EpisodeSize(*map(sum, zip(*episodes, strict=True))) for episodes in (typical, most)]
    counts = map(sum, (rows, steps, tokens, played))
    return Work(sum(simulations), sum(evaluated), sizes[0], sizes[1], *counts)


def tasks(node: Node, split: str) -> int:
    """Return the number of tasks of a split, from the parameter `sizes`, and of training tasks that the expert stage uses."""
    used = node.inputs.get("experts", node).params.get("tasks") if split == "train" else None
    of_split = str(node.params["sizes"]).split("/")[("train", "dev", "test").index(split)]
    return int(used or of_split)


def experts(node: Node, source: str | None = None) -> int:
    """Return how many trajectories an expert stage has at most, one a task for each expert, or for `source` alone if it is not None.

    A file of trajectories is assumed to hold one a task, and a language model plays each task `samples` times.
    """
    if (file := _text(node.params["file"])) is not None:
        return tasks(node, "train") * (len(file.split(" + ")) if source is None else 1)
    models = {expert_name(spec) for spec in _expert_models(node)}
    names = split_experts(str(node.params["expert"])) if source is None else [source]
    samples = [node.integer("samples") if expert_name(name) in models else 1 for name in names]
    return tasks(node, "train") * sum(samples)


def _expert_models(node: Node) -> list[str]:
    """Return the language models that play in an expert stage."""
    reads_file = node.params.get("file") is not None
    if "prompt" not in node.params or reads_file:  # no model can be an expert there, or none plays
        return []
    return language_models(*(str(expand_variables(node.params[k])) for k in ("expert", "benchmark")))


def rows(node: Node) -> int:
    """Return the training examples at most: D_e, or D_{s_0} ∪ D_r (Algorithm 1 l. 14); for DPO, pairs, one a trajectory.

    Where every success is kept (RFT), they are the expert's trajectories and all simulations so far.
    """
    if (
        node.notebook.stage == "tune"
    ):  # a simulation gives a row on the node that it expands, and on its outcome
        return 2 * work(node.inputs["search"]).simulations
    chosen = node.inputs["preferences" if node.notebook.stage == "dpo" else "examples"]
    given = chosen.inputs["experts"]
    kinds = ("simulations", "earlier")
    explored = [read for name, read in chosen.inputs.items() if StageInputs.kind(name) in kinds]
    if chosen.notebook.stage == "pairs" and (most := chosen.optional_integer("most")):
        return tasks(given, "train") * most * len(explored)
    if not explored or node.notebook.stage == "dpo":
        return experts(given, _text(chosen.params.get("clone_from")))
    keep = str(chosen.params["keep"])
    if keep == "all" or (keep == "auto" and not any(n.params["M"] for n in explored)):
        return experts(given) + sum(work(n).simulations for n in explored)
    latest = explored[-1].params
    recoveries = experts(given, _text(latest.get("explore_from"))) if latest["M"] else 0
    return tasks(given, "train") + recoveries


def _text(value: Value) -> str | None:
    """Return the text of a parameter, or None where it has none."""
    return None if value is None else str(value)


def _searched(node: Node) -> int:
    """Return the simulations that search at test time plays for a task; a tree plays so many before each action."""
    if node.notebook.stage != "decide":
        return 0
    actions = {"mcts": episode(node).steps, "best_of": 1}.get(str(node.params["how"]), 0)
    return actions * node.integer("simulations")


def _longest(node: Node) -> EpisodeSize:
    """Return the longest episode that the turn limit, the longest action and the context allow."""
    benchmark, data, sizes = (str(expand_variables(node.params[k])) for k in ("benchmark", "data", "sizes"))
    turns = max_turns(benchmark, data=data, sizes=sizes, seed=node.integer("world_seed"))
    written, context = turns * node.integer("max_new_tokens"), node.optional_integer("context")
    return EpisodeSize(turns, min(written, context), context) if context else EpisodeSize(turns, written, 0)


def episode(node: Node) -> EpisodeSize:
    """Return the typical episode that a policy of the node plays or is trained on, by the benchmark of the stages before it."""
    played = (n.params["benchmark"] for n in reversed(upstream([node])) if "benchmark" in n.params)
    benchmark = str(next(played, ""))
    if node.notebook.stage == "expert":
        card, (spec, *_) = card_name(benchmark), _expert_models(node)
        format = choose_prompt(_text(node.params["prompt"]), spec, card or "")
        return typical_episode(benchmark, format)
    return typical_episode(benchmark, str(node.params["format"]))


class Shape(NamedTuple):
    """The sizes that determine the memory of a causal LM.

    Attributes:
        parameters: number in the whole model.
        adapter: number of parameters of a LoRA adapter of rank 1 on all linear layers.
        key_values: key heads times their width.
    """

    parameters: int
    adapter: int
    hidden: int
    layers: int
    key_values: int
    intermediate: int
    vocabulary: int


_LLAMA_3_8B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}
_MISTRAL_7B_3 = {**_LLAMA_3_8B, "model_type": "mistral", "vocab_size": 32768}

KNOWN_CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "meta-llama/Meta-Llama-3-8B-Instruct": _LLAMA_3_8B,
    "mistralai/Mistral-7B-v0.3": _MISTRAL_7B_3,
}
"""Configs of the paper's models, so that a plan's memory can be estimated before anything is downloaded."""


def model_shape(base: str) -> Shape | None:
    """Return the shape of the model that `base` names, from its config; None if the config is not on this machine."""
    path = model_path(str(expand_variables(base)))
    try:
        settings = KNOWN_CONFIGS.get(str(path)) or read_settings(path, local_files_only=True)[1]
        return _decoder_shape(settings) or _built_shape(path)
    except PolicyError:
        return None


def _decoder_shape(config: Mapping[str, Any]) -> Shape | None:
    """Count the weights of a decoder with gated feed-forward layers; None for other models, or where the config leaves a size open.

    Building a model imports torch, which takes longer than the rest of a plan.
    """
    kind = config.get("model_type")
    if kind not in ("llama", "mistral", "qwen2", "qwen3") or not {*config} >= _STATED:
        return None
    hidden, wide, layers, heads, vocabulary = (int(config[name]) for name in _SIZES)
    width = config.get("head_dim") or (None if kind == "qwen3" else hidden // heads)
    if width is None:
        return None
    queries, key_values = heads * width, config["num_key_value_heads"] * width
    linear = [(hidden, queries), (hidden, key_values), (hidden, key_values), (queries, hidden)]
    biased = linear[: {"llama": 4, "mistral": 0, "qwen2": 3, "qwen3": 4}[kind]]
    if kind != "qwen2" and not config.get("attention_bias"):
        biased = []
    gated = [(hidden, wide), (hidden, wide), (wide, hidden)]
    linear += gated
    biased += gated if kind == "llama" and config.get("mlp_bias") else []
    norms = 2 * hidden + (2 * width if kind == "qwen3" else 0)
    layer = sum(read * written for read, written in linear) + sum(written for _, written in biased) + norms
    return Shape(
        parameters=vocabulary * hidden * (1 if config["tie_word_embeddings"] else 2)
        + hidden
        + layers * layer,
        adapter=layers * sum(read + written for read, written in linear),
        hidden=hidden,
        layers=layers,
        key_values=key_values,
        intermediate=wide,
        vocabulary=vocabulary,
    )


_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_STATED = {*_SIZES, "num_key_value_heads", "tie_word_embeddings"}


def _built_shape(path: str | Path) -> Shape:
    """Return the shape of any model, built on the `meta` device, where tensors have no content."""
    import torch  # seconds, which only architectures need that are not counted by their config
    from transformers import AutoModelForCausalLM

    from eefcore.training.models import load_config

    config = load_config(path, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head, config = model.get_output_embeddings(), config.get_text_config()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(
        parameters=sum(p.numel() for p in model.parameters()),
        adapter=sum(m.in_features + m.out_features for m in linear),
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        key_values=width * config.num_key_value_heads,
        intermediate=config.intermediate_size,
        vocabulary=config.vocab_size,
    )


class Memory(NamedTuple):
    """Bytes on one device; `activations` if all are kept, `recomputed` if the backward pass computes them again."""

    weights: int
    gradients: int = 0
    optimiser: int = 0
    activations: int = 0
    recomputed: int = 0
    cache: int = 0

    def total(self, *, recompute: bool) -> int:
        """Return the sum, with activations kept or recomputed."""
        kept = self.recomputed if recompute else self.activations
        return self.weights + self.gradients + self.optimiser + kept + self.cache

    def plus(self, other: Memory) -> Memory:
        """Return the memory of both at the same time."""
        return Memory(*map(sum, zip(self, other, strict=True)))


def training_memory(shape: Shape, *, tokens: int, lora_r: int | None, bf16: bool) -> Memory:
    """Estimate a forward and backward pass over `tokens`, all of them trained, and AdamW's step.

    Parameters, gradients and moments are float32. A layer keeps for its backward pass what its linear maps and norms
    read, the keys, queries and values, and four widths of a gated feed-forward; attention scores are never kept. Logits
    are float32, with their softmax and gradient. Workspaces and what the allocator wastes add a tenth or so.
    """
    trained = lora_r * shape.adapter if lora_r else shape.parameters
    wide = 2 if bf16 else 4
    layer = tokens * wide * (6 * shape.hidden + 2 * shape.key_values + 4 * shape.intermediate)
    logits = 12 * tokens * shape.vocabulary
    copies = 2 * trained if bf16 and not lora_r else 0  # that autocast keeps of what is trained
    return Memory(
        weights=4 * shape.parameters + (4 * trained if lora_r else 0) + copies,
        gradients=4 * trained,
        optimiser=8 * trained,
        activations=shape.layers * layer + logits,
        recomputed=shape.layers * tokens * 4 * shape.hidden + layer + logits,
    )


def rollout_memory(shape: Shape, *, slots: int, context: int) -> Memory:
    """Estimate playing `slots` episodes of `context` tokens in bfloat16, as on a GPU; on a CPU (float32) it is twice that."""
    cache = 2 * 2 * slots * context * shape.layers * shape.key_values
    return Memory(2 * shape.parameters, cache=cache)


class Use(NamedTuple):
    """A reason to hold a model in memory."""

    base: str
    what: str  # in words, with how many tokens at a time


def memory(nodes: Iterable[Node], shape: Callable[[str], Shape | None]) -> dict[Use, Memory | None]:
    """Estimate the memory of each kind of training and playing in `nodes`; None where a base's shape is not known."""
    out: dict[Use, Memory | None] = {}
    for node in nodes:
        kind, given = node.notebook.stage, node.params
        trained = next((n for n in reversed(upstream([node])) if "base" in n.params), None)
        if trained is None or kind not in ("train", "dpo", *PLAYING):
            continue
        base = str(trained.params["base"])
        sizes = shape(base)
        if kind in PLAYING:
            slots, context = node.integer("slots"), node.integer("context")
            played = sizes and rollout_memory(sizes, slots=slots, context=context)
            use, critic = Use(base, f"play {slots} × {context:,} tokens"), str(given.get("critic", NONE))
            if is_tunable(critic):  # a model of its own beside the policy, which reads the same dialogues
                use = Use(base, f"{use.what}, and ask {critic}")
                asked = shape(critic)
                played = asked and played and played.plus(rollout_memory(asked, slots=slots, context=context))
            out[use] = played
        else:
            # a pair is two rows, as long as its stage of preferences lets them be
            sides, limits = (2, node.inputs["preferences"]) if kind == "dpo" else (1, node)
            longest, r = sides * limits.integer("context"), trained.optional_integer("lora_r")
            tokens = min(node.integer("batch_size") * longest, max(node.integer("batch_tokens"), longest))
            use = Use(base, f"train {f'rank {r}' if r else 'all'} on {tokens:,} tokens")
            out[use] = sizes and training_memory(sizes, tokens=tokens, lora_r=r, bf16=bool(given["bf16"]))
    return out


def misfits(found: Mapping[Use, Memory | None], device: int) -> list[str]:
    """Return, in words, the uses that need more than the `device` bytes of one device even if activations are recomputed."""
    needs = {use: memory.total(recompute=True) for use, memory in found.items() if memory is not None}
    return [
        f"{use.base}: to {use.what} takes about {needed / 1e9:,.0f} GB, this device has {device / 1e9:,.0f} GB; "
        "choose a smaller base, lora_r, fewer slots or a shorter context"
        for use, needed in needs.items()
        if needed > device
    ]


def device_memory() -> int | None:
    """Return the bytes of this machine's first GPU; None without one."""
    if shutil.which("nvidia-smi") is None:
        return None
    import torch  # seconds, which a machine without a GPU need not spend

    return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else None
