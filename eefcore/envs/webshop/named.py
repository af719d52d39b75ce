"""The WebShop benchmarks that params files name (`envs.registry`): a generated shop, and the official files."""

from __future__ import annotations

from pathlib import Path

from eefcore.envs.panels import panel_sizes
from eefcore.envs.webshop.benchmark import WebShopBenchmark
from eefcore.envs.webshop.generate import generated_shop
from eefcore.envs.webshop.splits import HeldOutSizes


def webshop_mini(*, data: str, sizes: str, seed: int) -> WebShopBenchmark:
    """Load a generated shop of as many tasks as `sizes` says, in which navigation is needed."""
    del data  # nothing is read
    panels = panel_sizes(sizes)
    return WebShopBenchmark.load(
        generated_shop(sum(panels), seed), sizes=HeldOutSizes(test=panels.test, dev=panels.dev), seed=seed
    )


def webshop(*, data: str, sizes: str, seed: int) -> WebShopBenchmark:
    """Load the official files with human goals."""
    return _official(data, sizes, seed, goals="human")


def webshop_synthetic(*, data: str, sizes: str, seed: int) -> WebShopBenchmark:
    """Load the official files with synthetic goals."""
    return _official(data, sizes, seed, goals="synthetic")


def webshop_synthetic_hard(*, data: str, sizes: str, seed: int) -> WebShopBenchmark:
    """Load the official files with synthetic goals; no product of a dev or test goal is a training goal's."""
    return _official(data, sizes, seed, goals="synthetic", hold_out_products=True)


def _official(
    data: str, sizes: str, seed: int, *, goals: str, hold_out_products: bool = False
) -> WebShopBenchmark:
    panels = panel_sizes(sizes) if sizes else None
    benchmark = WebShopBenchmark.load(
        Path(data),
        goals=goals,
        sizes=panels and HeldOutSizes(test=panels.test, dev=panels.dev),
        seed=seed,
        hold_out_products=hold_out_products,
    )
    if panels and panels.train:
        benchmark.splits["train"] = benchmark.splits["train"][: panels.train]
    return benchmark
