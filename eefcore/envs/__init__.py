"""Benchmarks by name, for params files.

webshop_mini             a generated shop in which navigation is needed; no download
webshop                  official WebShop files with human goals
webshop_synthetic        official WebShop files with synthetic goals
webshop_synthetic_hard   the same, no product of a dev or test goal being a training goal's
sciworld                 ScienceWorld's tasks of the 22 kinds that AgentTraj-L shows, without teleport; needs Java
sciworld_mini            the twelve kinds whose paths are short

Each with `+composite` behind its name for agents of composite actions, as in Agent Q (`envs.composite`).
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path

from eefcore.envs.composite import SUFFIX, CompositeBenchmark
from eefcore.errors import ParamsError
from eefcore.plugins import plugin
from eefcore.protocols import Benchmark

TURNS = {
    "webshop_mini": 20,
    "webshop": 20,
    "webshop_synthetic": 20,
    "webshop_synthetic_hard": 20,
    "sciworld": 100,
    "sciworld_mini": 40,
}
"""Actions of an episode at most, by name: `protocols.Benchmark.max_turns`, for who asks before anything is loaded."""

NAMES = tuple(TURNS)


def load(name: str, *, data: str = "", sizes: str = "", seed: int = 0) -> Benchmark:
    """The benchmark called `name`, or what `my_package.my_module:load` makes of the same data, sizes and seed.

    Args:
        data: the folder of WebShop's official files; the other benchmarks have none.
        sizes: tasks to train on / to select the model on / to test on: `400/100/300`. With official files
            the first number may be 0: all that are not in the other two. Of ScienceWorld's splits each may be.
        seed: of a generated shop, of prices, of splits by content, and of which of ScienceWorld's tasks come first.

    Raises:
        ParamsError: an unknown name, sizes that are no three numbers, `data` missing or not wanted.
        SimulatorError: ScienceWorld, or Java, is not installed.
    """
    if name.endswith(SUFFIX):
        return CompositeBenchmark(load(name.removesuffix(SUFFIX), data=data, sizes=sizes, seed=seed))
    if ":" in name:
        own = plugin(name, "benchmark", takes=("data", "sizes", "seed"))
        return own(data=data, sizes=sizes, seed=seed)
    if name not in NAMES:
        raise ParamsError(
            f"no benchmark {name!r}; choose one of {', '.join(NAMES)}, or my_package.my_module:load"
        )
    generated, simulated = name == "webshop_mini", name.startswith("sciworld")
    if (generated or simulated) == bool(data):
        what = "needs data: the folder of the official files"
        if data:
            what = f"is {'generated' if generated else 'simulated'} and reads no data folder"
        raise ParamsError(f"benchmark {name} {what}; got data {data!r}")
    train, dev, test = panel_sizes(sizes) if sizes else (0, 0, 0)
    if simulated:
        from eefcore.envs import sciworld

        return sciworld.SciWorldBenchmark.load(name, sizes=sciworld.Sizes(train, dev, test), seed=seed)
    from eefcore.envs.webshop import Sizes, WebShopBenchmark

    wanted = Sizes(test=test, dev=dev) if sizes else None
    if generated:
        if not sizes:
            raise ParamsError(f"benchmark {name} needs sizes: how many tasks to generate, as in 400/100/300")
        return WebShopBenchmark.load(generated_shop(train + dev + test, seed), sizes=wanted, seed=seed)
    benchmark = WebShopBenchmark.load(
        Path(data),
        goals="human" if name == "webshop" else "synthetic",
        sizes=wanted,
        seed=seed,
        hold_out_products=name == "webshop_synthetic_hard",
    )
    if train:
        benchmark.splits["train"] = benchmark.splits["train"][:train]
    return benchmark


def turns(name: str, *, data: str, sizes: str, seed: int) -> int:
    """Actions of an episode at most. A benchmark of your own is loaded to tell.

    Raises:
        ParamsError: as `load`.
    """
    if name.removesuffix(SUFFIX) in TURNS:
        return TURNS[name.removesuffix(SUFFIX)]
    return load(name, data=data, sizes=sizes, seed=seed).max_turns


def generated_shop(tasks: int, seed: int) -> Path:
    """A folder with the generated shop of that many tasks, ten products each; written once, then found again."""
    from eefcore.envs.webshop import generate, words
    from eefcore.storage.hashing import default_cache

    sources = b"".join(Path(module.__file__).read_bytes() for module in (generate, words))
    version = hashlib.sha256(sources).hexdigest()[:8]
    shops = default_cache() / "shops"
    folder = shops / f"{tasks}-tasks-seed-{seed}-{version}"
    if not folder.exists():
        shops.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=shops) as temporary:
            made = Path(temporary) / folder.name
            generate.write_catalogue(made, products=10 * tasks, tasks=tasks, seed=seed)
            with suppress(OSError):  # another process was first
                made.rename(folder)
    return folder


def panel_sizes(sizes: str) -> tuple[int, int, int]:
    """Tasks to train on, to select the model on, to test on, of `400/100/300`.

    Raises:
        ParamsError: it is no three numbers.
    """
    parts = sizes.split("/")
    if len(parts) != 3 or not all(p.isdecimal() for p in parts):
        raise ParamsError(f"sizes {sizes!r}: expected three numbers, train/dev/test, as in 400/100/300")
    train, dev, test = map(int, parts)
    return train, dev, test
