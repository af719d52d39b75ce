"""From a params file to its plan, and from a notebook to its stage.

A stage notebook declares, among its parameters, three that `eef run` fills and that are part of no identity:

    run: str = "lab"        results/<run>/ is written
    label: str = ""         its place in the plan: `explore.2`
    inputs: str = ""        JSON: a name -> a folder under the results root

and, if it wants them, two that the plan knows: `iteration: int` (i of Algorithm 1; 0 where there is none)
and `split: str` (`dev` or `test`, for evaluate). Its first calls are

    inputs = inputs or make_smoke_inputs("05_explore")   # only where it is opened by hand and reads other stages
    stage, p = open_stage("05_explore", globals())       # the stage at work, and its parameters: p.seed, p.samples

The identity of a stage is the hash of the notebook's name, of every parameter but run, label and inputs, of its inputs'
identities, and of the code that it runs (`eefcore.tracking.identity`). Names of inputs (`storage.stage_inputs`):

    select     experts, simulations1, simulations2, …, and the model that explored last
    train      examples, and model from the second iteration on
    explore    model, experts
    preferences  experts, simulations, and the model that explored them
    dpo        preferences, model
    evaluate   model; for the test panel model1, dev1, model2, dev2, …
    search, pairs, decide   as explore, preferences and evaluate; and the critic, if one was tuned; and earlier1, …
    tune       search, experts, and the critic that it asked, if one was tuned
    report     per method: <method>/experts, /select1, /model1, /dev1, /simulations1, /critic1, …, /test
    suite      the same per seed and run: seed0/mini_methods/EEF/experts, …
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec

from eefcore.errors import ParamsError, StoreError
from eefcore.runs.notebook import Notebook, own_notebook, read_notebooks
from eefcore.runs.params import RESERVED, checked, read_params, read_yaml
from eefcore.runs.plan import Node, plan, upstream
from eefcore.runs.suite import NOTEBOOK as SUITE
from eefcore.runs.suite import Partial, finished_part, plan_suite, read_suite
from eefcore.storage import stages
from eefcore.storage.stage_inputs import StageInputs
from eefcore.tracking.stage import Stage
from eefcore.types import Value
from eefcore.variables import expand_variables

SMOKE = "smoke.yaml"  # the params file whose stages feed a notebook that is opened by hand


def planned(path: Path) -> list[Node]:
    """The stages that the params file at `path` asks for, everything checked before anything starts."""
    notebooks = read_notebooks(_folder())
    return plan(read_params(path, notebooks), notebooks)


def planned_suite(
    path: Path, *, fast: bool = False, seeds: Sequence[int] = (), only: Sequence[str] = ()
) -> list[Node]:
    """The stages of the suite at `path`: of what `fast` keeps, of these `seeds` and of these runs `only`, if any are named."""
    notebooks = read_notebooks(_folder())
    return plan_suite(read_suite(path, notebooks, fast=fast, seeds=seeds, only=only), notebooks)


def reported(run: str) -> Partial:
    """The report stage of `run`, to be built once more; of a suite, over what is finished of it by now.

    Raises:
        StoreError: there is nothing to report.
    """
    for path in sorted((stages.workspace() / "params" / "suites").glob("*.yaml")):
        if read_yaml(path).get("suite") == run:
            notebooks = read_notebooks(_folder())
            return finished_part(read_suite(path, notebooks), notebooks)
    return Partial(recorded_report(run), {})


def recorded_report(run: str) -> Node:
    """The report stage of `run` as it was made last, from the records alone: no params file is needed.

    The records may come from elsewhere, with the results folder: what they name is looked up here and never obeyed.

    Raises:
        StoreError: the run has no report, or one of a stage that is not there.
        ParamsError: a record names a notebook, a folder or a parameter that is not this workspace's.
    """
    records = {r.identity: r for r in stages.finished_stages(run)}
    reports = [r for r in records.values() if r.notebook.partition("_")[2] == "report"]
    if not reports:
        raise StoreError(f"{stages.run_folder(run)}: no report was made; finish the run with `eef run` first")

    @cache
    def notebook(name: str) -> Notebook:
        return own_notebook(_folder(), name)

    @cache
    def node(identity: str) -> Node:
        if identity not in records:
            raise StoreError(
                f"{stages.run_folder(run)}: its report reads a stage {identity[:8]!r} that is not there; copy the whole "
                "run, or run it again"
            )
        record = records[identity]
        return Node(run, record.label, notebook(record.notebook), record.params, StageInputs(), identity)

    report = records[reports[-1].identity]
    params = _recorded_params(notebook(report.notebook), report)
    inputs = StageInputs((name, node(read)) for name, read in report.inputs.items())
    return replace(node(report.identity), params=params, inputs=inputs)


def _recorded_params(notebook: Notebook, record: stages.StageRecord) -> dict[str, Value]:
    """The parameters of `record` as `notebook` declares them: their names are written into the notebook that runs."""
    where = f"{record.label}: the record of {notebook.name}"
    for name in record.params:
        if name not in notebook.parameters or name in RESERVED:
            raise ParamsError(
                f"{where} has a parameter {name!r}, which {notebook.name} does not declare; was it made by another "
                "version? Run it again with `eef run`"
            )
        if found := _module_of_results(record.params[name]):
            raise ParamsError(
                f"{where}: {name} {record.params[name]!r} would run {found}, a file of the results folder; only "
                "modules of this machine's own packages are loaded"
            )
    return {k: checked(f"{where}: {k}", notebook.parameters[k], v) for k, v in record.params.items()}


def _module_of_results(value: object) -> str:
    """Where under the results root the module of `value`, `my_module:function`, would be loaded from; else nothing.

    The results root may be on Python's path: of an editable install the workspace is, and folders are packages.
    """
    module, colon, _ = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not all(part.isidentifier() for part in module.split(".")):
        return ""
    root = stages.results_root().resolve()
    top, *rest = module.split(".")
    for entry in sys.path:
        there = any(Path(entry or ".").glob(f"{top}*"))
        place = Path(entry or ".").joinpath(top, *rest).resolve()
        if there and place.is_relative_to(root):
            return f"{root.name}/{place.relative_to(root).as_posix()}"
    return ""


class Opened(NamedTuple):
    """A stage at work, and the parameters of its notebook as attributes: `p.seed`, with `${NAME}` expanded in texts."""

    stage: Stage
    parameters: SimpleNamespace


def open_stage(name: str, scope: Mapping[str, Any]) -> Opened:
    """Open the stage that the notebook `name` is, with the parameters that its cells set: `open_stage("…", globals())`.

    Nothing is written into `scope`. The record keeps `${NAME}` where a parameter names an environment variable.

    Raises:
        ParamsError: a declared parameter is missing from `scope`, or is of another type.
        StoreError: another process works on the stage, or an input is not there.
    """
    notebook = own_notebook(_folder(), name)
    values = {p: _value(notebook, p, scope) for p in notebook.parameters}
    inputs = str(values["inputs"])
    stage = Stage.open(
        run=str(values["run"]),
        label=str(values["label"] or notebook.stage),
        notebook=name,
        params={k: v for k, v in values.items() if k not in RESERVED},
        inputs=_inputs(notebook, inputs) if inputs else {},
    )
    return Opened(stage, SimpleNamespace(**{k: expand_variables(v) for k, v in values.items()}))


def make_smoke_inputs(name: str) -> str:
    """Make the stages that the notebook `name` reads when it is opened by hand, and return the value of its `inputs`.

    They are those that the last stage of its kind reads in params/smoke.yaml. What is finished is taken as it is; the
    rest is run here, with a table that shows how far it is.

    Raises:
        StageFailed: a stage that has to be made first failed.
    """
    notebook = own_notebook(_folder(), name)
    nodes = planned(stages.workspace() / "params" / SMOKE)
    example = next((n for n in reversed(nodes) if n.notebook.name == notebook.name), None)
    inputs = example.inputs if example else StageInputs[Node]()
    if notebook.stage == SUITE:  # the suite of this one run
        *_, report = nodes
        inputs = report.inputs.under(StageInputs.seed_folder(0), Path(SMOKE).stem)
    missing = [node for node in upstream(inputs.values()) if not node.finished]
    if missing:
        from eefcore.runs.runner import run  # papermill takes a second to load

        print(f"{notebook.name} reads what {len(missing)} stages of params/{SMOKE} make; they come first:")
        run(missing, resume="run this cell again")
    root = stages.results_root()
    folders = {name: node.folder.relative_to(root).as_posix() for name, node in inputs.items()}
    return json.dumps(folders, ensure_ascii=False)


def _folder() -> Path:
    return stages.workspace() / "notebooks"


def _inputs(notebook: Notebook, text: str) -> dict[str, Path]:
    """The folders that the parameter `inputs` names, all of them under the results root."""
    try:
        named = msgspec.json.decode(text, type=dict[str, str])
    except msgspec.MsgspecError as error:
        raise ParamsError(
            f"{notebook.name}: parameter inputs: expected a JSON object of names and folders, got {text!r} ({error})"
        ) from error
    return {name: input_folder(folder) for name, folder in named.items()}


def input_folder(name: str) -> Path:
    """The folder under the results root that `name`, its path from there, says a stage reads.

    Raises:
        ParamsError: `name` is absolute, or leads out of the results root.
    """
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or "\0" in name:
        raise ParamsError(
            f"input {name!r} is no folder under {stages.results_root()}: expected a path from there without `..`, such as "
            "quickstart/expert-0123abcd"
        )
    return stages.results_root().joinpath(*parts)


def _value(notebook: Notebook, name: str, scope: Mapping[str, Any]) -> Value:
    where = f"{notebook.name}: parameter {name}"
    if name not in scope:
        raise ParamsError(
            f"{where} is not set; run the parameters cell, and save the notebook if you changed it"
        )
    return checked(where, notebook.parameters[name], scope[name])
