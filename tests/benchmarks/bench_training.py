"""Training steps on rows that share beginnings: read as trees, against padded.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_training.py

The tiny base searches tasks of the generated shop, and explores an expert's trajectories; what it found is trained:

    node pairs         siblings in a tree, by DPO (Agent Q eq. 4)
    trajectory pairs   wins against losses of a tree, by DPO (eq. 5)
    simulations        all simulations of the trees as rows, by SFT
    EEF's set          solutions of important states and clones, by SFT

`batch` is the items of an optimiser step, in a random order as the stages deal them. `tokens` is what a padded pass reads
over what a packed one does, and `padding` the share of the padded tokens that is padding. `time` is the ratio of CPU time
of an epoch through `train_sft` or `train_dpo`, the optimiser included, from the same weights: the least of `--repeats`, one
after the other. Padded is the same trainer where `can_pack` says no, with passes of at most the same tokens. The last
column is the difference of the mean losses.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch

from eefcore import envs
from eefcore.experts import demonstrations
from eefcore.policies import load_policy
from eefcore.preferences.trees import node_pairs, outcome_pairs
from eefcore.rollout import expert_starts, initial_starts, rollout
from eefcore.search import growth
from eefcore.search.forest import trajectories
from eefcore.search.settings import SearchSettings, Signal
from eefcore.selection import Repository, training_set
from eefcore.training import loop
from eefcore.training.batches import BatchSampler, Passes
from eefcore.training.dpo import train_dpo
from eefcore.training.logprobs import token_logps
from eefcore.training.loop import TrainSettings
from eefcore.training.references import Pair
from eefcore.training.rows import Row, make_row
from eefcore.training.sft import train_sft
from eefcore.types import Example

BATCH_TOKENS = 8192
"""Unique tokens that are computed at once, as a stage has it by default."""


class Data(NamedTuple):
    """Rows or pairs of one kind."""

    name: str
    items: Sequence[Any]

    def rows(self, item: Any) -> Sequence[Row]:
        """The rows of an item."""
        return item.rows if isinstance(item, Pair) else [item]

    def batches(self, size: int) -> list[list[Any]]:
        """The global batches of the first epoch."""
        lengths = [max(len(row.tokens) for row in self.rows(item)) for item in self.items]
        order = list(BatchSampler(lengths, size, seed=0))
        return [[self.items[i] for i in order[k : k + size]] for k in range(0, len(order), size)]


def found(tasks: int, trees: int, simulations: int) -> tuple[Any, list[Data]]:
    """Return the tiny model, and what it finds by search and by exploration, as training data."""
    policy = load_policy("tiny")
    world = envs.load("webshop_mini", sizes=f"{max(tasks, trees)}/0/0", seed=0)
    names = world.tasks("train")
    planted = growth.new_trees(
        world,
        names[:trees],
        SearchSettings(max_turns=world.max_turns, K=4, alpha=1.0),
        Signal.REWARD,
        source="tiny",
    )
    grown = growth.grow(planted, policy, world.make, to=simulations, at_once=trees)
    played = trajectories(grown)

    def encode(example: Example) -> Row:
        return make_row(example, policy.renderer)

    def pairs(preferences: Sequence[Any]) -> list[Pair]:
        sides = [encode(side) for p in preferences for side in (p.chosen, p.rejected)]
        logps = token_logps(policy.model, sides, batch_tokens=BATCH_TOKENS)
        both = zip(sides[::2], sides[1::2], logps[::2], logps[1::2], strict=True)
        return [Pair((a,), (b,), x, y) for a, b, x, y in both]

    experts = demonstrations(world, ["strong"], "train", seed=0)[:tasks]
    starts = [*initial_starts(world, names[:tasks], (0.5,), seed=0), *expert_starts(experts, 5, 0.5, seed=0)]
    explored = rollout(policy, world.make, starts, max_turns=world.max_turns)
    eef = training_set(names[:tasks], experts, explored, Repository([*experts, *explored]))
    data = [
        Data("node pairs", pairs(node_pairs(grown, theta=0.25))),
        Data("trajectory pairs", pairs(outcome_pairs(played))),
        Data("simulations", [encode(Example(t, t.n_expert)) for t in played if len(t) > t.n_expert]),
        Data("EEF's set", [encode(e) for e in eef.examples]),
    ]
    policy.model.set_attn_implementation("sdpa")
    return policy.model, data


def epoch(model: Any, data: Data, size: int, *, packed: bool) -> tuple[float, float]:
    """Return the CPU time of an epoch, and the mean loss of its steps."""
    model, pairs = copy.deepcopy(model), isinstance(data.items[0], Pair)
    with tempfile.TemporaryDirectory() as out:
        settings = TrainSettings(
            epochs=1,
            batch_size=size,
            learning_rate=1e-5,
            seed=0,
            out=Path(out),
            batch_tokens=BATCH_TOKENS,
        )
        can_pack = loop.can_pack if packed else lambda *_: False
        began = time.process_time()
        with mock.patch.object(loop, "can_pack", can_pack):
            if pairs:
                losses = train_dpo(model, data.items, settings, beta=0.1).curves.loss
            else:
                losses = train_sft(model, data.items, settings).losses
    return time.process_time() - began, sum(losses) / len(losses)


def least(repeats: int, *timed: Callable[[], tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the least time of each, and its loss; all of them take turns."""
    turns = [[one() for one in timed] for _ in range(repeats)]
    return [min(took) for took in zip(*turns, strict=True)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=60, help="tasks that an expert tries")
    parser.add_argument("--trees", type=int, default=24)
    parser.add_argument("--simulations", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, every = found(args.tasks, args.trees, args.simulations)
    print(
        f"{'':17s} {'items':>5s} {'batch':>5s} {'padded':>8s} {'packed':>8s} {'padding':>7s} {'tokens':>6s} {'time':>5s}  |Δ loss|"
    )
    for data in every:
        if not data.items:
            print(f"{data.name:17s} none found; take more tasks, trees or simulations")
            continue
        for size in sorted({16, len(data.items)}):
            read = {True: 0, False: 0}
            for packed in read:
                passes = Passes(packed, BATCH_TOKENS)
                for batch in data.batches(size):
                    for part in passes.cut(batch, data.rows):
                        read[packed] += passes.count([row for item in part for row in data.rows(item)])
            rows = [row for item in data.items for row in data.rows(item)]
            padding = 1 - sum(len(row.tokens) - 1 for row in rows) / read[False]
            (padded, one), (packed, other) = least(
                args.repeats, *(partial(epoch, model, data, size, packed=p) for p in (False, True))
            )
            print(
                f"{data.name:17s} {len(data.items):5d} {size:5d} {read[False]:8,d} {read[True]:8,d} {padding:7.1%} "
                f"{read[False] / read[True]:5.2f}x {padded / packed:4.2f}x  {abs(one - other):.0e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
