"""Read and plan a suite: params files times seeds, the runs of a seed in one folder, and one report over all of them.

    suite: eef_webshop_mini            results/eef_webshop_mini/seed<n>/ holds the stages of that seed
    seeds: [0, 1, 2, 3, 4]             each in place of the files' shared seed
    runs:                              params/<stem>.yaml -> the section of the suite's report that it feeds
      mini_methods: methods
      mini_budgets: budget
    fast: {seeds: [0, 1], runs: [mini_methods]}     what --fast keeps
    report: {baseline: RFT×6}          parameters of 10_suite, if others than its own

A stage that several methods of a seed ask for, in whichever file, is computed once. The last stage, `suite` in
results/<suite>/, is of the notebook 10_suite and reads them all:

    inputs      seed<n>/<run stem>/<method>/<stage>, as in seed0/mini_methods/EEF/test; the names of stages are those of
                `plan.algorithm_1`. A report before the suite's end has the methods of each seed that are finished
    suite       its name
    sections    JSON: run stem -> section, in the order of the file, of the runs with inputs
    others      (benchmark, data, sizes, …) as `report` sets them, or as all params files agree in `shared`
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eefcore.errors import ParamsError, StoreError
from eefcore.runs.notebook import Notebook, shorten
from eefcore.runs.params import Params, Values, checked, choose, read_params, read_yaml, settable
from eefcore.runs.plan import Inputs, Node, Nodes, add, stages_of
from eefcore.storage import stages
from eefcore.storage.stage_inputs import StageInputs
from eefcore.types import Value

NOTEBOOK = "suite"  # 10_suite, by the name without the number

ORACLE = "oracle"
"""The section of methods whose search at test time saw the reward, wherever their run belongs (DESIGN 4.5)."""

SECTIONS = (
    "methods", "search", "union", "budget", "models", "finders", "ablation", "sweep", "map", ORACLE,
)  # fmt: skip
"""What a run may be for. The first is the main table; the others are read on their own."""


class Run(NamedTuple):
    """One params file of a suite, and the section of the report that it feeds."""

    stem: str
    section: str
    params: Params


class Suite(NamedTuple):
    """A suite file that fits its params files."""

    path: Path
    name: str
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]
    report: Values


def read_suite(
    path: Path,
    notebooks: Mapping[str, Notebook],
    *,
    fast: bool = False,
    seeds: Sequence[int] = (),
    only: Sequence[str] = (),
) -> Suite:
    """Read the suite at `path` and its params files, and check them; with `fast` only what it keeps then.

    Args:
        seeds: those of the suite's seeds to keep; none: all.
        only: those of its runs to keep, by the stem of their file; none: all.
    """
    content = read_yaml(path)
    if "run" in content and "suite" not in content:
        raise ParamsError(f"{path}: is the params file of one run; run it with `eef run {path}`")
    for key in content:
        choose(path, "key", key, ("suite", "seeds", "runs", "fast", "report"))
    name, runs = content.get("suite"), content.get("runs")
    if not isinstance(name, str):
        raise ParamsError(f"{path}: suite: must be a name, got {shorten(name)}")
    try:
        stages.check_run_name(name)
    except ParamsError as error:
        raise ParamsError(f"{path}: suite: {error}") from error
    if not isinstance(runs, dict) or not runs:
        raise ParamsError(
            f"{path}: runs: must name params files and sections, as in `quickstart: methods`, got {shorten(runs)}"
        )
    listed = _seeds(path, "seeds", content.get("seeds"))
    if fast:
        listed, runs = _reduce(path, content.get("fast"), listed, runs)
    for seed in seeds:
        choose(path, "seeds: --seeds", str(seed), map(str, listed))
    for stem in only:
        choose(path, "runs: --runs", stem, map(str, runs))
    runs = {stem: section for stem, section in runs.items() if not only or stem in only}
    files = {file.stem: file for file in (stages.workspace() / "params").glob("*.yaml")}
    found = []
    for stem, section in runs.items():
        section = choose(path, f"runs.{stem}: section of the report", section, SECTIONS)
        params = read_params(files[choose(path, "runs: params file", stem, sorted(files))], notebooks)
        for where, given in (("stages", params.stages), *((m.name, m.stages) for m in params.methods)):
            if owner := next((stage for stage, values in given.items() if "seed" in values), None):
                raise ParamsError(
                    f"{params.path}: {where}.{owner}.seed: a file of a suite leaves the seed to the suite; "
                    "move it to `shared`"
                )
        found.append(Run(params.path.stem, section, params))
    report = _settings(path, content.get("report"), notebooks)
    return Suite(path, name, tuple(seeds) or listed, tuple(found), report)


def plan_suite(suite: Suite, notebooks: Mapping[str, Notebook]) -> list[Node]:
    """Return every stage of `suite` once, each after what it reads, seed by seed; the last is the report over all.

    A suite that is stopped early has whole comparisons of fewer seeds.
    """
    nodes = Nodes()
    inputs: dict[str, Node] = {}
    for seed in suite.seeds:
        for run in suite.runs:
            folder = StageInputs.seed_folder(seed)
            shared = {**run.params.shared, "seed": seed}
            params = run.params._replace(run=f"{suite.name}/{folder}", shared=shared)
            inputs.update(StageInputs(stages_of(params, notebooks, nodes)).under(folder, run.stem))
    _report(suite, notebooks, inputs, nodes)
    return list(nodes.values())


class ReportPlan(NamedTuple):
    """A report over the finished methods, and the number of stages that each other method still needs."""

    report: Node
    missing: dict[str, int]


def finished_part(suite: Suite, notebooks: Mapping[str, Notebook]) -> ReportPlan:
    """Return the report of `suite` over the methods of each seed that are finished, and what the others still need.

    Raises:
        StoreError: no method is.
    """
    *_, whole = plan_suite(suite, notebooks)
    missing: dict[str, int] = {}
    finished: dict[str, Node] = {}
    for method, inputs in whole.inputs.by_folder().items():
        if todo := sum(not node.finished for node in inputs.values()):
            missing[method] = todo
        else:
            finished.update(inputs.under(method))
    if not finished:
        raise StoreError(
            f"{stages.run_folder(suite.name)}: no method is finished; go on with `eef suite {os.path.relpath(suite.path)}`"
        )
    return ReportPlan(_report(suite, notebooks, finished, Nodes()), missing)


def _report(suite: Suite, notebooks: Mapping[str, Notebook], inputs: Inputs, nodes: Nodes) -> Node:
    notebook = notebooks[NOTEBOOK]
    first, *others = suite.runs
    values = first.params.values(notebook, None)  # all runs of the suite must agree on them
    for other in others:
        for name, value in other.params.values(notebook, None).items():
            if value != values[name] and name not in suite.report:
                raise ParamsError(
                    f"{suite.path}: runs: {first.stem} has {name}: {shorten(values[name])} and {other.stem} "
                    f"{shorten(value)}; one report is over one of them: make two suites"
                )
    finished = {folder.split("/")[1] for folder in StageInputs(inputs).by_folder()}
    sections = {run.stem: run.section for run in suite.runs if run.stem in finished}
    values |= {**suite.report, "suite": suite.name, "sections": json.dumps(sections, ensure_ascii=False)}
    return add(nodes, suite.name, NOTEBOOK, notebook, values, inputs)


def _settings(path: Path, given: object, notebooks: Mapping[str, Notebook]) -> dict[str, Value]:
    if NOTEBOOK not in notebooks:
        raise ParamsError(f"{path}: there is no notebook 10_{NOTEBOOK}; there are {', '.join(notebooks)}")
    if not isinstance(given, dict | None):
        raise ParamsError(f"{path}: report: must be a mapping, got {shorten(given)}")
    notebook = notebooks[NOTEBOOK]
    allowed = [name for name in settable(notebook) if name not in ("suite", "sections")]
    for name in given or {}:
        choose(path, f"report: {notebook.name}'s parameter", name, allowed)
    return {k: checked(f"{path}: report.{k}", notebook.parameters[k], v) for k, v in (given or {}).items()}


def _seeds(path: Path, where: str, seeds: object) -> tuple[int, ...]:
    if not isinstance(seeds, list) or not seeds or not all(type(s) is int and s >= 0 for s in seeds):
        raise ParamsError(f"{path}: {where}: must list whole numbers, as in [0, 1, 2], got {shorten(seeds)}")
    if len(set(seeds)) < len(seeds):
        raise ParamsError(f"{path}: {where}: one is listed twice: {shorten(seeds)}")
    return tuple(seeds)


def _reduce(
    path: Path, fast: object, seeds: Sequence[int], runs: Mapping[str, object]
) -> tuple[tuple[int, ...], dict[str, object]]:
    """Return the seeds and runs that `fast` keeps."""
    if not isinstance(fast, dict) or set(fast) != {"seeds", "runs"} or not isinstance(fast["runs"], list):
        raise ParamsError(
            f"{path}: fast: --fast needs it, as in {{seeds: [0, 1], runs: [{next(iter(runs))}]}}, got {shorten(fast)}"
        )
    kept = [choose(path, "fast.runs: run", run, [str(r) for r in runs]) for run in fast["runs"]]
    if not kept:
        raise ParamsError(f"{path}: fast.runs: must keep one run at least")
    for seed in (fewer := _seeds(path, "fast.seeds", fast["seeds"])):
        choose(path, "fast.seeds: seed", str(seed), map(str, seeds))
    return fewer, {run: runs[run] for run in runs if run in kept}
