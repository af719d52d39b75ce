"""Tokens per second of each engine on the same prompts of a shop, as a ratio to `hf` in the same run.

    OMP_NUM_THREADS=1 .venv-vllm/bin/python tests/benchmarks/bench_engines.py --model smollm2 --tasks 16

Every engine plays the same tasks with the same seeds at temperature 1. Wall time, since an engine may work in processes of
its own; loading is not counted. The first tasks warm an engine up. Draws differ between engines, so the lengths do too.
"""

from __future__ import annotations

import argparse
import time

from eefcore import envs
from eefcore.errors import PolicyError
from eefcore.policies import PolicySettings, load_policy, read_engine
from eefcore.rollout import initial_starts, rollout


def play(policy, world, tasks, *, seed: int) -> tuple[int, int, float]:
    """Play `tasks`; return the tokens written, the tokens read and the wall seconds."""
    before, began = (policy.tokens_written, policy.tokens_read), time.perf_counter()
    starts = initial_starts(world, tasks, (1.0,), seed=seed)
    rollout(policy, world.make, starts, max_turns=world.max_turns)
    written, read = policy.tokens_written - before[0], policy.tokens_read - before[1]
    return written, read, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--tasks", type=int, default=64)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--engines", nargs="+", default=["hf", "vllm"])
    given = parser.parse_args()
    world = envs.load("webshop_mini", sizes=f"{given.tasks + 4}/0/0")
    warm, tasks = world.tasks("train")[:4], world.tasks("train")[4:]
    baseline = None
    print(f"{'engine':32} {'written':>8} {'read':>8} {'seconds':>8} {'written/s':>10} {'ratio':>6}")
    for name in given.engines:
        try:
            engine = read_engine(name)
        except PolicyError as error:
            print(f"{name:32} left out: {error}")
            continue
        settings = PolicySettings(engine=engine, slots=given.slots, max_new_tokens=64, context=given.context)
        policy = load_policy(given.model, settings)
        play(policy, world, warm, seed=0)
        written, read, seconds = play(policy, world, tasks, seed=1)
        rate = written / seconds
        baseline = baseline or rate
        print(
            f"{name:32} {written:8,} {read:8,} {seconds:8.1f} {rate:10.1f} {rate / baseline:6.2f}", flush=True
        )


if __name__ == "__main__":
    main()
