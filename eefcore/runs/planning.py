"""Plan the stages of a params file, of a suite, or of a report that is built again; nothing is started here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from eefcore.errors import ParamsError, StoreError
from eefcore.runs.checks import check_nodes
from eefcore.runs.notebook import Notebook, own_notebook, read_notebooks
from eefcore.runs.params import RESERVED, checked, read_params, read_yaml
from eefcore.runs.plan import Node, plan
from eefcore.runs.suite import ReportPlan, finished_part, plan_suite, read_suite
from eefcore.storage import stages
from eefcore.storage.stage_inputs import StageInputs
from eefcore.types import Value


def notebooks_folder() -> Path:
    """Return the folder of the workspace's stage notebooks."""
    return stages.workspace() / "notebooks"


def plan_run(path: Path) -> list[Node]:
    """Return the stages that the params file at `path` asks for, each after those that it reads."""
    notebooks = read_notebooks(notebooks_folder())
    nodes = plan(read_params(path, notebooks), notebooks)
    check_nodes(path, nodes)
    return nodes


def plan_suite_file(
    path: Path, *, fast: bool = False, seeds: Sequence[int] = (), only: Sequence[str] = ()
) -> list[Node]:
    """Return the stages of the suite at `path`, each after those that it reads; the options are `read_suite`'s."""
    notebooks = read_notebooks(notebooks_folder())
    nodes = plan_suite(read_suite(path, notebooks, fast=fast, seeds=seeds, only=only), notebooks)
    check_nodes(path, nodes)
    return nodes


def plan_report(run: str) -> ReportPlan:
    """Return the report stage of `run`, to be built once more; a suite's report covers what is finished by now."""
    for path in sorted((stages.workspace() / "params" / "suites").glob("*.yaml")):
        if read_yaml(path).get("suite") == run:
            notebooks = read_notebooks(notebooks_folder())
            return finished_part(read_suite(path, notebooks), notebooks)
    return ReportPlan(recorded_report(run), {})


def recorded_report(run: str) -> Node:
    """Return the report stage of `run` as it was made last, from the records alone: no params file is needed.

    A results folder may come from elsewhere, so what its records name is checked against this workspace first.

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
        return own_notebook(notebooks_folder(), name)

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
    """Return the parameters of `record`, checked against what `notebook` declares: papermill writes them into it."""
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
    """Return the path under the results root that the module of `value`, `my_module:function`, would come from, or nothing.

    The results root may be on Python's path: in an editable install the workspace is, and folders are packages.
    """
    module, colon, _ = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not all(part.isidentifier() for part in module.split(".")):
        return ""
    root = stages.results_root().resolve()
    top, *rest = module.split(".")
    for entry in sys.path:
        place = Path(entry or ".").joinpath(top, *rest).resolve()
        if place.is_relative_to(root) and any(Path(entry or ".").glob(f"{top}*")):
            return f"{root.name}/{place.relative_to(root).as_posix()}"
    return ""
