"""Open the stage of a notebook: check its parameters, find its inputs, claim its folder.

A stage notebook declares three parameters that `eef run` fills and that are part of no identity, and, if it wants them,
two that come from the plan: `iteration: int` (i of Algorithm 1; 0 where there is none) and `split: str` (`dev` or `test`):

    run: str = "lab"        results/<run>/ is written
    label: str = ""         the stage's place in the plan: `explore.2`
    inputs: str = ""        JSON: a name -> a folder under the results root

Its first calls are

    inputs = inputs or make_smoke_inputs("05_explore")   # used when you open the notebook by hand
    stage, p = open_stage("05_explore", globals())       # the stage at work, and its parameters: p.seed, p.samples

Names of inputs (`storage.stage_inputs`):

    select     experts, simulations1, simulations2, …, and the model that explored last
    train      examples, and model from the second iteration on
    explore    model, experts
    preferences  experts, simulations, and the model that explored them
    dpo        preferences, model
    evaluate   model; for the test panel model1, dev1, model2, dev2, …
    search, pairs, decide   as explore, preferences and evaluate; the tuned critic, if there is one; earlier1, …
    tune       search, experts, and the tuned critic that the search asked, if there is one
    report     per method: <method>/experts, /select1, /model1, /dev1, /simulations1, /critic1, …, /test
    suite      the same per seed and run: seed0/mini_methods/EEF/experts, …
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec

from eefcore.errors import UNDECODABLE, EefError, ParamsError, suggest
from eefcore.runs import suite
from eefcore.runs.checks import check_values
from eefcore.runs.notebook import Notebook, own_notebook
from eefcore.runs.params import RESERVED, checked
from eefcore.runs.plan import Node, name_folders, upstream
from eefcore.runs.planning import notebooks_folder, plan_run
from eefcore.storage import stages
from eefcore.storage.stage_inputs import StageInputs
from eefcore.tracking.stage import Stage
from eefcore.types import Value
from eefcore.variables import expand_variables

INJECTED = "# Parameters\n"
"""The first line of the cell that papermill puts below a notebook's parameters cell, with what it was given."""

SMOKE = "smoke.yaml"  # the params file whose stages feed a notebook that is opened by hand


class NotebookStage(NamedTuple):
    """A stage at work, and the parameters of its notebook as attributes: `p.seed`, with `${NAME}` expanded in texts."""

    stage: Stage
    parameters: SimpleNamespace


def open_stage(name: str, scope: Mapping[str, Any]) -> NotebookStage:
    """Open the stage of the notebook `name` with the parameters that its cells set: `open_stage("…", globals())`.

    Nothing is written into `scope`. The record keeps `${NAME}` where a parameter names an environment variable.

    Raises:
        ParamsError: a declared parameter is missing from `scope`, or is of another type; papermill was given one that is
            not declared.
        StoreError: another process works on the stage, or an input is not there.
    """
    notebook = own_notebook(notebooks_folder(), name)
    _refuse_undeclared(notebook, scope.get("In", ()))
    values: dict[str, Value] = {}
    for parameter in notebook.parameters.values():
        where = f"{name}: parameter {parameter.name}"
        if parameter.name not in scope:
            raise ParamsError(
                f"{where} is not set; run the parameters cell, and save the notebook if you changed it"
            )
        values[parameter.name] = checked(where, parameter, scope[parameter.name])
    try:
        check_values(notebook.stage, values)
    except EefError as error:
        raise ParamsError(f"{name}: {error}") from error
    inputs = str(values["inputs"])
    stage = Stage.open(
        run=str(values["run"]),
        label=str(values["label"] or notebook.stage),
        notebook=name,
        params={k: v for k, v in values.items() if k not in RESERVED},
        inputs=_inputs(notebook, inputs) if inputs else {},
    )
    return NotebookStage(stage, SimpleNamespace(**{k: expand_variables(v) for k, v in values.items()}))


def _refuse_undeclared(notebook: Notebook, cells: Sequence[str]) -> None:
    """Refuse a name that papermill set and the notebook does not declare, which papermill itself only warns of.

    Args:
        notebook: whose parameters are declared.
        cells: the cells that the kernel ran, papermill's among them.
    """
    injected = next((cell for cell in reversed(cells) if cell.startswith(INJECTED)), "")
    targets = (t for line in ast.parse(injected).body if isinstance(line, ast.Assign) for t in line.targets)
    for name in (target.id for target in targets if isinstance(target, ast.Name)):
        if name not in notebook.parameters:
            guess = suggest(name, notebook.parameters) or ";"
            raise ParamsError(
                f"{notebook.name}: papermill was given {name!r}, which is no parameter of it{guess} its parameters are "
                f"{', '.join(notebook.parameters)}"
            )


def make_smoke_inputs(name: str) -> str:
    """Make the stages that the notebook `name` reads when it is opened by hand, and return the value of its `inputs`.

    They are the inputs of the last stage of this kind in params/smoke.yaml. Finished stages are reused; the others
    are run here, and a table shows their progress.

    Raises:
        StageFailed: a stage that has to be made first failed.
    """
    notebook = own_notebook(notebooks_folder(), name)
    nodes = plan_run(stages.workspace() / "params" / SMOKE)
    example = next((n for n in reversed(nodes) if n.notebook.name == notebook.name), None)
    inputs = example.inputs if example else StageInputs[Node]()
    if notebook.stage == suite.NOTEBOOK:  # the suite of this one run
        *_, report = nodes
        inputs = report.inputs.under(StageInputs.seed_folder(0), Path(SMOKE).stem)
    missing = [node for node in upstream(inputs.values()) if not node.finished]
    if missing:
        from eefcore.runs.runner import run  # papermill takes a second to load

        print(f"{notebook.name} reads what {len(missing)} stages of params/{SMOKE} make; they come first:")
        run(missing, resume="run this cell again")
    return name_folders(inputs)


def _inputs(notebook: Notebook, text: str) -> dict[str, Path]:
    """Return the folders that the parameter `inputs` names, all of them under the results root."""
    try:
        named = msgspec.json.decode(text, type=dict[str, str])
    except UNDECODABLE as error:
        raise ParamsError(
            f"{notebook.name}: parameter inputs: expected a JSON object of names and folders, got {text!r} ({error})"
        ) from error
    return {name: input_folder(folder) for name, folder in named.items()}


def input_folder(name: str) -> Path:
    """Return the folder of an input by its path `name` from the results root, which it must not lead out of."""
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or "\0" in name:
        raise ParamsError(
            f"input {name!r} is no folder under {stages.results_root()}: expected a path from there without `..`, such as "
            "quickstart/expert-0123abcd"
        )
    return stages.results_root().joinpath(*parts)
