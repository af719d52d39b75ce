"""How long the solutions of the booking site are, and which factors make them longer: a table in Markdown.

python tests/benchmarks/bench_booking_tasks.py [BENCHMARK] [SIZES]
"""

from __future__ import annotations

import sys
from statistics import mean, quantiles

from eefcore.envs.booking.benchmark import BookingBenchmark
from eefcore.envs.registry import load
from eefcore.experts.booking.experts import EXPERTS
from eefcore.types import Trajectory


def lengths(trajectories: list[Trajectory]) -> str:
    """Return the number of solutions, and their mean, least, quartiles and greatest length."""
    found = sorted(map(len, trajectories))
    low, middle, high = quantiles(found, n=4) if len(found) > 1 else found * 3
    return f"{len(found)} | {mean(found):.1f} | {found[0]} | {low:g} / {middle:g} / {high:g} | {found[-1]}"


def main(name: str = "booking", sizes: str = "1000/200/500") -> None:
    """Print the table for a benchmark; it fails if a task is not solved."""
    benchmark = load(name, sizes=sizes, seed=0)
    assert isinstance(benchmark, BookingBenchmark)
    demonstrate = EXPERTS.demonstrator(benchmark, "perfect", seed=0).demonstrate
    played = {split: demonstrate(benchmark.tasks(split)) for split in ("train", "dev", "test")}
    every = [trajectory for of in played.values() for trajectory in of]
    lost = [t.task_id for t in every if not t.win]
    assert not lost, lost
    print("| tasks | n | mean | least | quartiles | greatest |\n|---|---|---|---|---|---|")
    print(f"| all | {lengths(every)} |")
    for split, of in played.items():
        print(f"| {split} | {lengths(of)} |")
    factors = sorted({factor for t in every for factor in benchmark.goal(t.task_id).factors})
    for factor in factors:
        print(f"| {factor} | {lengths([t for t in every if factor in benchmark.goal(t.task_id).factors])} |")
    print(f"| without any | {lengths([t for t in every if not benchmark.goal(t.task_id).factors])} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
