"""What a plan asks for, before anything starts: simulations, steps, tokens, optimiser steps, memory.

    work               of one stage; `total` of several
    training_memory    weights, gradients, AdamW's two moments, activations as they are or recomputed
    rollout_memory     weights, and the key-value cache of all episodes played at a time
    memory             both, of every kind of training and playing in a plan

Arithmetic on parameters alone. How many simulations win, and so become training rows, nobody knows before:
rows, optimiser steps and trained tokens are at most. Tokens and steps of an episode are given twice, as
those of a typical one (`envs.registry`) and as what the turn limit, the longest action and the context allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil
from typing import NamedTuple

from eefcore.envs.registry import EpisodeSize, max_turns, typical_episode
from eefcore.runs.plan import Node, upstream
from eefcore.storage.stage_inputs import StageInputs
from eefcore.variables import expand_variables

PLAYING = ("explore", "search", "evaluate", "decide")
"""Stages in which a policy plays."""


class Work(NamedTuple):
    """What stages do.

    Attributes:
        simulations: episodes that explore, at most.
        evaluated: episodes on a panel.
        typical: of all these episodes, if they are typical (`envs.registry`).
        most: of all these episodes, at most.
        rows: training examples at most; of a preference pair, two.
        optimiser_steps: at most.
        tokens_trained: with a loss, times epochs, if every row is typical.
    """

    simulations: int = 0
    evaluated: int = 0
    typical: EpisodeSize = EpisodeSize(0, 0, 0)
    most: EpisodeSize = EpisodeSize(0, 0, 0)
    rows: int = 0
    optimiser_steps: int = 0
    tokens_trained: int = 0


def work(node: Node) -> Work:
    """Of one stage; of one that plays and trains nothing, none."""
    kind, given = node.notebook.stage, node.params
    if kind == "explore" and "sizes" in given:
        n = tasks(node, "train") * node.integer("samples")
        explored = experts(node.inputs["experts"], str(given["explore_from"]))
        n += explored * node.integer("M") * node.integer("repeats")
        return Work(simulations=n, **_episodes(node, n))
    if kind == "search" and "sizes" in given:
        n = tasks(node, "train") * node.integer("simulations")
        return Work(simulations=n, **_episodes(node, n))
    if kind in ("evaluate", "decide") and "sizes" in given:
        n = tasks(node, str(given["split"]))
        return Work(evaluated=n, **_episodes(node, n * (1 + _rehearsed(node))))
    if kind in ("train", "dpo", "tune") and "format" in given:
        examples = rows(node)
        epochs, batch = node.integer("epochs"), node.integer("batch_size")
        sides = 2 if kind == "dpo" else 1
        return Work(
            rows=sides * examples,
            optimiser_steps=ceil(examples / batch) * epochs,
            tokens_trained=sides * examples * epochs * _typical(node).written,
        )
    return Work()


def total(works: Iterable[Work]) -> Work:
    """All of `works` together."""
    out = Work()
    for one in works:
        sums = {k: a + b for k, a, b in zip(Work._fields, out, one, strict=True) if isinstance(a, int)}
        episodes = {
            k: EpisodeSize(*(a + b for a, b in zip(getattr(out, k), getattr(one, k), strict=True)))
            for k in ("typical", "most")
        }
        out = Work(**sums, **episodes)
    return out


def tasks(node: Node, split: str) -> int:
    """Of a split, as `sizes` says."""
    return int(str(node.params["sizes"]).split("/")[("train", "dev", "test").index(split)])


def experts(node: Node, source: str = "") -> int:
    """Expert trajectories of an expert stage, of all its experts or of `source`, at most: of each one a task.

    Of a file of trajectories, one a task is assumed.
    """
    names = str(node.params["file"] or node.params["expert"]).split("+")
    return tasks(node, "train") * (1 if source else len(names))


def rows(node: Node) -> int:
    """Training examples at most: D_e, or D_{s_0} ∪ D_r (Algorithm 1 l. 14); or preference pairs, one an expert's."""
    if node.notebook.stage == "tune":  # a lesson of the node that a simulation expands, and one of its end
        return 2 * work(node.inputs["search"]).simulations
    chosen = node.inputs["preferences" if node.notebook.stage == "dpo" else "examples"]
    given = chosen.inputs["experts"]
    explored = [
        read for name, read in chosen.inputs.items() if StageInputs.kind(name) in ("simulations", "earlier")
    ]
    if chosen.notebook.stage == "pairs" and (most := chosen.optional_integer("most")):
        return tasks(given, "train") * most * len(explored)
    if not explored or node.notebook.stage == "dpo":
        return experts(given, str(chosen.params.get("clone_from", "")))
    latest = explored[-1].params
    recoveries = experts(given, str(latest.get("explore_from", ""))) if latest["M"] else 0
    return tasks(given, "train") + recoveries


def _rehearsed(node: Node) -> int:
    """Episodes that search plays of a task before it is acted on for good: of a tree, so many before each action."""
    if node.notebook.stage != "decide":
        return 0
    actions = {"mcts": _typical(node).steps, "best_of": 1}.get(str(node.params["how"]), 0)
    return actions * node.integer("simulations")


def _episodes(node: Node, n: int) -> dict[str, EpisodeSize]:
    given = node.params
    context = node.integer("context")
    turns = max_turns(
        str(given["benchmark"]),
        data=str(expand_variables(given["data"])),
        sizes=str(given["sizes"]),
        seed=node.integer("world_seed"),
    )
    most = EpisodeSize(turns, min(turns * node.integer("max_new_tokens"), context), context)
    return {"typical": _typical(node).times(n), "most": most.times(n)}


def _typical(node: Node) -> EpisodeSize:
    """The episode that a policy of the node plays or is trained on, by the benchmark of the stages before it."""
    played = (n.params["benchmark"] for n in reversed(upstream([node])) if "benchmark" in n.params)
    return typical_episode(str(next(played, "")), str(node.params["format"]))


class Shape(NamedTuple):
    """What a causal LM's memory follows from.

    Attributes:
        parameters: of the whole model.
        adapter: of a LoRA adapter of rank 1 on all linear layers.
        key_values: key heads times their width.
    """

    parameters: int
    adapter: int
    hidden: int
    layers: int
    key_values: int
    intermediate: int
    vocabulary: int


class Memory(NamedTuple):
    """Bytes on one device; of activations those kept as they are, or `recomputed` in the backward pass."""

    weights: int
    gradients: int = 0
    optimiser: int = 0
    activations: int = 0
    recomputed: int = 0
    cache: int = 0

    def total(self, *, recompute: bool) -> int:
        """All of it."""
        kept = self.recomputed if recompute else self.activations
        return self.weights + self.gradients + self.optimiser + kept + self.cache


def training_memory(shape: Shape, *, examples: int, context: int, lora_r: int | None, bf16: bool) -> Memory:
    """Of one forward and backward pass over `examples` of `context` tokens, and AdamW's step.

    Parameters, gradients and moments are float32. A layer keeps for its backward pass what its linear maps
    and norms read, the keys, queries and values, and four widths of a gated feed-forward; attention scores
    are never kept. Logits are there in float32 with their softmax and gradient. Kernels' workspaces and
    what the allocator wastes come on top, a tenth or so.
    """
    trained = lora_r * shape.adapter if lora_r else shape.parameters
    tokens, wide = examples * context, 2 if bf16 else 4
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
    """Of `slots` episodes of `context` tokens in bfloat16, as on a GPU; on a CPU, in float32, it is twice that."""
    cache = 2 * 2 * slots * context * shape.layers * shape.key_values
    return Memory(2 * shape.parameters, cache=cache)


class Use(NamedTuple):
    """What a model is held in memory for."""

    base: str
    what: str  # in words, with how many tokens at a time


def memory(nodes: Iterable[Node], shape: Callable[[str], Shape | None]) -> dict[Use, Memory | None]:
    """Of every kind of training and playing that `nodes` do; None where a base's shape is not known."""
    out: dict[Use, Memory | None] = {}
    for node in nodes:
        kind, given = node.notebook.stage, node.params
        trained = next((n for n in reversed(upstream([node])) if "base" in n.params), None)
        if trained is None or kind not in ("train", "dpo", *PLAYING):
            continue
        base = str(trained.params["base"])
        known = shape(base)
        if kind in PLAYING:
            slots, context = node.integer("slots"), node.integer("context")
            out[Use(base, f"play {slots} × {context:,} tokens")] = known and rollout_memory(
                known, slots=slots, context=context
            )
        else:
            # a pair is two rows, as long as its stage of preferences lets them be
            sides, limits = (2, node.inputs["preferences"]) if kind == "dpo" else (1, node)
            examples = sides * (node.optional_integer("micro_batch") or node.integer("batch_size"))
            context, r = limits.integer("context"), trained.optional_integer("lora_r")
            what = f"train {f'rank {r}' if r else 'all'} on {examples} × {context:,} tokens"
            out[Use(base, what)] = known and training_memory(
                known, examples=examples, context=context, lora_r=r, bf16=bool(given["bf16"])
            )
    return out
