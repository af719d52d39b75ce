"""Simulations per second of `eefcore.search`, against a plain search on the same model and tasks; and cost against depth.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_search.py

The tiny base searches tasks of the generated shop, by the outcome alone. Both sides run the same algorithm from the
same seeds, and come to the same trees, which is checked:

    plain          one tree at a time, one question at a time; a state is come back to by playing it from the start,
                   and its dialogue is read anew for every question
    side by side   `growth.grow`: all trees in one batch, states restored from snapshots, dialogues kept

The plain side is decoded by HFPolicy with one slot, which is kind to it: transformers' `generate` is slower.
Seconds are the process's own (CPU time of its one thread), so that other work on the machine disturbs little; wall
time is shown as well. `ratio` is of simulations a second. The second table takes both sides apart by the depth of a
question: tokens read for it, and microseconds to bring an environment back there.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch

from eefcore import envs
from eefcore.policies import PolicySettings, load_policy
from eefcore.policies.hf_engine.policy import HFPolicy
from eefcore.protocols import Benchmark, Environment, Reply, Sampling
from eefcore.search import growth
from eefcore.search.settings import SearchSettings, Signal
from eefcore.search.tree import Tree
from eefcore.types import History, State, Transition


class Counted:
    """`inner`, and how many tokens it read for questions of each depth; it forgets an episode at once if `plain`."""

    def __init__(self, inner: HFPolicy, *, plain: bool) -> None:
        self.name, self._inner, self._plain = inner.name, inner, plain
        self.read: dict[int, list[int]] = defaultdict(list)

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue the question."""
        before = self._inner.tokens_read
        self._inner.ask(episode, history, sampling)
        self.read[len(history)].append(self._inner.tokens_read - before)

    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """The inner policy's."""
        answered = self._inner.answers()
        for episode, _ in answered if self._plain else ():
            self._inner.close(episode)
        return answered

    def close(self, episode: Hashable) -> None:
        """Forget the episode."""
        self._inner.close(episode)


class Replaying:
    """An environment without snapshots: it is back where it was after all that led there."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def reset(self, task_id: str) -> str:
        """Start the task."""
        return self._env.reset(task_id)

    def step(self, action: str) -> Transition:
        """Act."""
        return self._env.step(action)

    def snapshot(self) -> State:
        """Nothing is kept."""
        return State("")

    def restore(self, state: State) -> str:
        """From the start."""
        seen = self._env.reset(state.task_id)
        for action in state.actions:
            seen = self._env.step(action).observation
        return seen


class Grown(NamedTuple):
    """Trees, the time they took on the processor and on the wall, and tokens read by depth."""

    trees: list[Tree]
    seconds: float
    wall: float
    read: dict[int, list[int]]

    @property
    def rate(self) -> float:
        """Simulations a second."""
        return sum(t.attempts for t in self.trees) / self.seconds


def searched(benchmark: Benchmark, trees: Sequence[Tree], to: int, *, plain: bool, slots: int) -> Grown:
    """Return `trees`, grown in one of the two ways."""
    inner = load_policy("tiny", PolicySettings(slots=slots))
    policy = Counted(inner, plain=plain)
    cpu, wall = time.process_time(), time.perf_counter()
    if plain:
        grown = [
            tree
            for t in trees
            for tree in growth.grow([t], policy, lambda: Replaying(benchmark.make()), to=to)
        ]
    else:
        grown = growth.grow(trees, policy, benchmark.make, to=to, at_once=slots)
    return Grown(grown, time.process_time() - cpu, time.perf_counter() - wall, policy.read)


def numbers(tree: Tree) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """A tree without the last bits of its floats."""
    return [(n.observation, [(e.reply.action, e.N, e.total) for e in n.edges]) for n in tree.nodes]


def microseconds(env: Environment, history: History, times: int = 200) -> float:
    """To restore `env` to a history, once it was there."""
    env.restore(history.state)
    env.snapshot()
    began = time.process_time()
    for _ in range(times):
        env.restore(history.state)
    return 1e6 * (time.process_time() - began) / times


def deepest(trees: Sequence[Tree]) -> History:
    """The longest history any simulation made before its end."""
    longest = max((t.final_history(s) for t in trees for s in t.simulations), key=len)
    return longest.at(len(longest) - 1)


def mean(values: Sequence[int]) -> float:
    """The mean; NaN of nothing."""
    return sum(values) / len(values) if values else float("nan")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trees", type=int, default=64)
    parser.add_argument("--plain-trees", type=int, default=3)
    parser.add_argument("--simulations", type=int, default=8)
    parser.add_argument("--proposals", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    benchmark = envs.load("webshop_mini", sizes=f"{args.trees}/8/8", seed=0)
    settings = SearchSettings(max_turns=benchmark.max_turns, K=args.proposals, alpha=1.0)
    trees = growth.new_trees(benchmark, benchmark.tasks("train"), settings, Signal.REWARD, source="tiny")
    searched(benchmark, trees[:4], 1, plain=False, slots=4)  # warm up
    ours = searched(benchmark, trees, args.simulations, plain=False, slots=args.trees)
    plain = searched(benchmark, trees[: args.plain_trees], args.simulations, plain=True, slots=1)

    print(f"{'':13s} {'trees':>6s} {'simulations':>12s} {'CPU s':>7s} {'wall s':>7s} {'a second':>9s}")
    for name, it in (("plain", plain), ("side by side", ours)):
        made = sum(t.attempts for t in it.trees)
        print(f"{name:13s} {len(it.trees):6d} {made:12d} {it.seconds:7.1f} {it.wall:7.1f} {it.rate:9.1f}")
    same = sum(numbers(a) == numbers(b) for a, b in zip(plain.trees, ours.trees, strict=False))
    print(f"ratio {ours.rate / plain.rate:.1f}; the same trees in {same} of {len(plain.trees)}")

    print("\ndepth   questions   tokens read: plain, side by side   to be back, µs: replay, snapshot")
    longest = deepest(ours.trees)
    for depth in sorted(ours.read):
        history = longest.at(min(depth, len(longest)))
        print(
            f"{depth:5d} {len(ours.read[depth]):11d} "
            f"{mean(plain.read.get(depth, [])):20.0f} {mean(ours.read[depth]):12.0f} "
            f"{microseconds(Replaying(benchmark.make()), history):24.0f} "
            f"{microseconds(benchmark.make(), history):10.0f}"
        )


if __name__ == "__main__":
    main()
