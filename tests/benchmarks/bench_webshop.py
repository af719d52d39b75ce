"""The shop at scale: start-up, memory, searches, steps and restores a second, beside the official engine's figures.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_webshop.py --products 1000 --data ../shared/data/webshop
    OMP_NUM_THREADS=1 python tests/benchmarks/bench_webshop.py --products 1180000 --out webshop_full.json

Without `--data` a catalogue of that size is generated, once, in a folder of the cache. What is measured:

    build             official files to the built form, once a machine; seconds are 0 when it was there
    start-up, memory  a fresh process: imports, opening, first page; resident afterwards, its share of mapped files included
    searches cold     each query once, nothing remembered; `cached`: the same once more
    steps             a visit to each task, of searching, turning pages, opening, choosing, reading and buying, in the
                      official `text` interface; `first` meets each page for the first time, `again` does not
    restores          to random states of those visits

Rates count the process's own CPU seconds, so that other work on the machine disturbs little; wall rates are in the JSON.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from measuring import MB, Row, Took, each, told

from eefcore.envs.webshop.benchmark import WebShopBenchmark
from eefcore.envs.webshop.catalogue.catalogue import Catalogue
from eefcore.envs.webshop.env import WebShop
from eefcore.envs.webshop.generate import write_catalogue
from eefcore.envs.webshop.interfaces.options import InterfaceOptions
from eefcore.types import State

OFFICIAL_STEPS = (
    93.0  # /s, 1,000 products, its search replaced by a cache: measured on a machine like this one
)
OFFICIAL_MEMORY_1K = 330.0  # MB, the same run
OFFICIAL_MEMORY_FULL = 16_000.0  # MB, 1.18 million products: AgentBench README, lines 66 and 233
OFFICIAL_START_FULL = 180.0  # s, there

FULL = 100_000  # products from which on the figures for the full set are the ones to compare with


def main() -> None:
    """Measures, prints the table, and writes it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, default=1000, help="size of the generated catalogue")
    parser.add_argument("--data", type=Path, help="folder of official files to measure on instead")
    parser.add_argument("--tasks", type=int, default=200, help="tasks visited and searched for, at most")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    folder = args.data or generated(args.products)
    rows = measured(folder, "synthetic" if args.data else "human", args.tasks)
    told(rows, "official", args.out)


def generated(products: int) -> Path:
    """A folder with a generated catalogue of that size."""
    root = Path(os.environ.get("EEF_CACHE") or Path.home() / ".cache" / "eefcore")
    folder = root / "benchmarks" / f"webshop_{products}"
    if not folder.exists():
        root.joinpath("benchmarks").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root / "benchmarks") as making:
            write_catalogue(Path(making) / "made", products=products, tasks=min(products // 10, 2000))
            (Path(making) / "made").rename(folder)
    return folder


def measured(folder: Path, goals: str, n_tasks: int) -> list[Row]:
    """All rows of the table."""
    _, build = timed(lambda: Catalogue.load(folder))
    start, memory = in_a_fresh_process(folder)
    benchmark = WebShopBenchmark.load(folder, interface=InterfaceOptions("text"), goals=goals)
    catalogue = benchmark.shop.catalogue
    tasks = random.Random(0).sample(list(benchmark.goals), min(n_tasks, len(benchmark.goals)))
    queries = [benchmark.instruction(task).lower() for task in tasks]
    full = len(catalogue) >= FULL

    _, cold = timed(lambda: each(catalogue.search, queries))
    _, cached = timed(lambda: each(catalogue.search, queries))
    env, visits = benchmark.make(), [visit(benchmark, task) for task in tasks]
    n_steps = sum(len(actions) for _, actions in visits)
    _, first = timed(lambda: each(lambda v: walk(env, *v), visits))
    _, again = timed(lambda: each(lambda v: walk(env, *v), visits))
    states = [state for task, actions in visits for state in remembered(env, task, actions)]
    targets = random.Random(1).choices(states, k=20 * len(states))
    _, back = timed(lambda: each(env.restore, targets))

    resident = psutil.Process().memory_info().rss / MB
    return [
        Row("products", len(catalogue), ""),
        Row("build", build.cpu, "s", build.wall),
        Row("start-up", start, "s", peer=OFFICIAL_START_FULL if full else None),
        Row("memory at start", memory, "MB", peer=OFFICIAL_MEMORY_FULL if full else OFFICIAL_MEMORY_1K),
        Row("memory after all", resident, "MB", peer=OFFICIAL_MEMORY_FULL if full else OFFICIAL_MEMORY_1K),
        rate("searches cold", len(queries), cold),
        rate("searches cached", len(queries), cached),
        rate("steps first", n_steps, first, None if full else OFFICIAL_STEPS),
        rate("steps again", n_steps, again, None if full else OFFICIAL_STEPS),
        rate("restores", len(targets), back),
    ]


def visit(benchmark: WebShopBenchmark, task: str) -> tuple[str, list[str]]:
    """A task, and the actions of a visit that sees every kind of page."""
    query = benchmark.instruction(task).lower()
    product = benchmark.shop.catalogue[benchmark.shop.catalogue.search(query)[0]]
    clicks = ["next >", "< prev", product.asin, *(values[0] for values in product.options.values())]
    clicks += ["description", "< prev", "features", "< prev", "reviews", "< prev", "buy now"]
    return task, [f"search[{query}]", *(f"click[{button}]" for button in clicks)]


def walk(env: WebShop, task: str, actions: list[str]) -> None:
    """Plays a visit; every action must do what it says, up to the purchase."""
    env.reset(task)
    for action in actions:
        answer = env.step(action)
    if not answer.done:
        raise RuntimeError(f"{task}: {actions} did not end in a purchase")


def remembered(env: WebShop, task: str, actions: list[str]) -> list[State]:
    """The states of a visit, snapshot."""
    env.reset(task)
    states = []
    for action in actions[:-1]:
        env.step(action)
        states.append(env.snapshot())
    return states


def in_a_fresh_process(folder: Path) -> tuple[float, float]:
    """Seconds until a new process has its first results, and its resident memory then, in MB."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(started, (folder, time.time()))


def started(folder: Path, asked: float) -> tuple[float, float]:
    """In the fresh process."""
    catalogue = Catalogue.load(folder)
    if not catalogue.search(catalogue[catalogue.asins[0]].title):
        raise RuntimeError(f"{folder}: a product's own title finds nothing")
    return time.time() - asked, psutil.Process().memory_info().rss / MB


def timed(work: Callable[[], object]) -> tuple[object, Took]:
    """What `work` returns, and what it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return result, Took(time.process_time() - cpu, time.perf_counter() - wall)


def rate(what: str, n: int, took: Took, official: float | None = None) -> Row:
    """`n` things in the time they took."""
    return Row(what, n / took.cpu, "/s", n / took.wall, official)


if __name__ == "__main__":
    main()
