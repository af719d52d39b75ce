"""DESIGN 4.7 on the real notebooks: killed at random moments, again and again, a run ends as if it never had been."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
from helpers.paths import ROOT

PARAMS = """
run: killed
shared: {sizes: 24/8/8, chunk: 8, slots: 8}
stages: {train: {epochs: 1}}
methods:
  EEF: {iterations: 2, explore: {M: 2}}
"""
RECORDS = ("experts.jsonl", "examples.jsonl", "simulations.jsonl", "panel.jsonl", "model/model.safetensors")
TIMES = ("cost/seconds",)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("least", [8, pytest.param(20, marks=pytest.mark.exhaustive)])
def test_a_run_killed_again_and_again_ends_with_the_same_results(tmp_path, least):
    params = tmp_path / "killed.yaml"
    params.write_text(PARAMS)
    began = time.monotonic()
    assert _start(params, tmp_path / "whole").wait() == 0
    took = time.monotonic() - began
    whole, rng, kills = _content(tmp_path / "whole"), random.Random(0), 0
    for attempt in count():
        results = tmp_path / f"killed{attempt}"
        kills += _killed_until_done(params, results, rng, took)
        assert _content(results) == whole
        _no_trajectory_is_lost_or_doubled(results)
        if kills >= least:
            return


def _killed_until_done(params: Path, results: Path, rng: random.Random, took: float) -> int:
    """Start, kill, start again …, until it gets through; how often it was killed.

    `took` is what it takes unharmed: on a slow machine it must live long enough to end a stage now and then.
    """
    for kills in count():
        run = _start(params, results)
        try:
            assert run.wait(timeout=took * rng.uniform(0.05, 0.4)) == 0
            return kills
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    raise AssertionError


def _start(params: Path, results: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "EEF_RESULTS": str(results),
        "WANDB_MODE": "disabled",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [Path(sys.executable).with_name("eef"), "run", params, "-j", "1"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def _content(results: Path) -> dict[str, object]:
    """What must not depend on how often the run was killed: names, numbers, records, weights."""
    import msgspec

    out: dict[str, object] = {}
    for folder in sorted((results / "killed").glob("[!.]*-*")):
        metrics = msgspec.json.decode((folder / "stage.json").read_bytes())["metrics"]
        out[folder.name] = {k: v for k, v in metrics.items() if k not in TIMES}
        for name in RECORDS:
            if (folder / name).exists():
                out[f"{folder.name}/{name}"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return out


def _no_trajectory_is_lost_or_doubled(results: Path) -> None:
    from eefcore.storage.records import read_records
    from eefcore.types import Trajectory

    (explored,) = (results / "killed").glob("explore*/simulations.jsonl")
    simulations = read_records(explored, Trajectory).list
    starts = [(t.state(t.n_expert), t.sample, t.n_expert) for t in simulations]
    assert sum(n == 0 for *_, n in starts) == len({s for s, _, n in starts if n == 0}) == 24
