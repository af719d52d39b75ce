"""Benchmarks by name, for params files.

webshop_mini             a generated shop in which navigation is needed; no download
webshop                  official WebShop files with human goals
webshop_synthetic        official WebShop files with synthetic goals
webshop_synthetic_hard   the same, no product of a dev or test goal being a training goal's
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path

from eefcore.errors import ParamsError
from eefcore.protocols import Benchmark

NAMES = ("webshop_mini", "webshop", "webshop_synthetic", "webshop_synthetic_hard")


def load(name: str, *, data: str = "", sizes: str = "", seed: int = 0) -> Benchmark:
    """The benchmark called `name`.

    Args:
        data: the folder of the official files; none for a generated benchmark.
        sizes: tasks to train on / to select the model on / to test on: `400/100/300`. With official files
            the first number may be 0: all that are not in the other two.
        seed: of a generated shop, of prices, and of splits by content.

    Raises:
        ParamsError: an unknown name, sizes that are no three numbers, `data` missing or not wanted.
    """
    if name not in NAMES:
        raise ParamsError(f"no benchmark {name!r}; choose one of {', '.join(NAMES)}")
    generated = name == "webshop_mini"
    if generated == bool(data):
        what = (
            "is generated and reads no data folder"
            if generated
            else "needs data: the folder of the official files"
        )
        raise ParamsError(f"benchmark {name} {what}; got data {data!r}")
    from eefcore.envs.webshop import Sizes, WebShopBenchmark

    train, dev, test = _three(sizes) if sizes else (0, 0, 0)
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


def generated_shop(tasks: int, seed: int) -> Path:
    """A folder with the generated shop of that many tasks, ten products each; written once, then found again."""
    from eefcore.contents import default_cache
    from eefcore.envs.webshop import generate, words

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


def _three(sizes: str) -> tuple[int, int, int]:
    parts = sizes.split("/")
    if len(parts) != 3 or not all(p.isdecimal() for p in parts):
        raise ParamsError(f"sizes {sizes!r}: expected three numbers, train/dev/test, as in 400/100/300")
    train, dev, test = map(int, parts)
    return train, dev, test
