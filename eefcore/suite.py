"""A suite: params files times seeds, as runs of their own.

suite: eef_webshop_mini           results/eef_webshop_mini/<run>/seed<seed>/
runs: [quickstart, no_recovery]   params/quickstart.yaml, params/no_recovery.yaml
seeds: [0, 1, 2, 3, 4]            each in place of the files' shared seed
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eefcore import store
from eefcore.errors import ParamsError
from eefcore.notebook import Notebook
from eefcore.params import Params, choose, read_params, read_yaml


def read_suite(path: Path, notebooks: Mapping[str, Notebook]) -> list[Params]:
    """The params of every run of the suite at `path`, checked; seed by seed, all runs of each.

    A suite that is stopped early has whole comparisons of fewer seeds.
    """
    content = read_yaml(path)
    for key in content:
        choose(path, "key", key, ("suite", "runs", "seeds"))
    name, runs, seeds = (content.get(key) for key in ("suite", "runs", "seeds"))
    if not isinstance(name, str):
        raise ParamsError(f"{path}: suite: must be a name, got {name!r}")
    if not isinstance(runs, list) or not runs or not all(isinstance(run, str) for run in runs):
        raise ParamsError(f"{path}: runs: must list params files, as in [quickstart], got {runs!r}")
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise ParamsError(f"{path}: seeds: must list whole numbers, as in [0, 1, 2], got {seeds!r}")
    for key, listed in (("runs", runs), ("seeds", seeds)):
        if len(set(listed)) < len(listed):
            raise ParamsError(f"{path}: {key}: one is listed twice: {listed!r}")
    files = {file.stem: file for file in (store.workspace() / "params").glob("*.yaml")}
    chosen = [
        read_params(files[choose(path, "runs: params file", run, sorted(files))], notebooks) for run in runs
    ]
    return [_seeded(params, name, seed) for seed in seeds for params in chosen]


def _seeded(params: Params, suite: str, seed: int) -> Params:
    for where, stages in (("stages", params.stages), *((m.name, m.stages) for m in params.methods)):
        if owner := next((stage for stage, values in stages.items() if "seed" in values), None):
            raise ParamsError(
                f"{params.path}: {where}.{owner}.seed: a file of a suite leaves the seed to the suite; "
                "move it to `shared`"
            )
    return params._replace(run=f"{suite}/{params.run}/seed{seed}", shared={**params.shared, "seed": seed})
