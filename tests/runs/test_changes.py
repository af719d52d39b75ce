"""A dry run says why a stage is computed again, and a stage whose code changed after it was planned does not start."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers.workspaces import write_notebook, write_params
from typer.testing import CliRunner

from eefcore.cli.main import app
from eefcore.errors import StageFailed
from eefcore.runs import runner
from eefcore.runs.changes import reasons
from eefcore.runs.plan import Node
from eefcore.runs.planning import plan_run
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.storage.stages import StageRecord

TEXT = "run: a\nmethods: {{x: {{iterations: 1, expert: {{tasks: {tasks}, data: 'mine:order'}}, train: {{{train}}}}}}}"


def params(demo: Path, *, tasks: int = 4, train: str = "epochs: 2") -> Path:
    """A params file of one method, whose experts come from a function of the user's own, notebooks/mine.py."""
    module = demo.parents[1] / "notebooks" / "mine.py"
    if not module.exists():
        module.write_text("def order():\n    return 1\n")
    return write_params(demo.parents[1], TEXT.format(tasks=tasks, train=train), "a")


def edit_module(demo: Path) -> None:
    (demo.parents[1] / "notebooks" / "mine.py").write_text("def order():\n    return 2\n")


def finish(nodes: Iterable[Node]) -> None:
    """Write the records that these stages would leave."""
    for day, node in enumerate(nodes, start=1):
        node.folder.mkdir(parents=True)
        record = StageRecord(
            label=node.label,
            notebook=node.notebook.name,
            params=dict(node.params),
            inputs={name: read.identity for name, read in node.inputs.items()},
            identity=node.identity,
            card=None,
            cost=Cost(),
            metrics={},
            packages={},
            seconds=1.0,
            attempts=1,
            started=datetime(2026, 1, day, tzinfo=UTC),
            finished=datetime(2026, 1, day, 1, tzinfo=UTC),
            code=dict(node.code),
        )
        stages.write_record(node.folder, record)


def dry_run(path: Path) -> dict[str, str]:
    """What `eef run --dry-run` says of the stages that it would compute again, by label."""
    shown = CliRunner().invoke(app, ["run", str(path), "--dry-run"])
    assert shown.exit_code == 0, shown.output
    lines = [line.split(" is computed again: ") for line in shown.output.splitlines() if "again: " in line]
    return {folder.rpartition("-")[0]: why for folder, why in lines}


def test_a_stage_that_was_never_computed_needs_no_reason(demo):
    assert dry_run(params(demo)) == {}


def test_a_finished_stage_needs_no_reason(demo):
    finish(plan_run(params(demo)))
    assert dry_run(params(demo)) == {}


def test_a_changed_parameter_is_named_and_then_the_inputs_that_follow_from_it(demo):
    finish(plan_run(params(demo)))
    reasons_given = dry_run(params(demo, train="epochs: 3"))
    assert reasons_given["train.1"] == "parameter epochs changed"
    assert reasons_given["evaluate.1"] == "input model changed"
    assert "expert" not in reasons_given and "select.1" not in reasons_given


def test_changed_modules_and_cells_are_named(demo):
    finish(plan_run(params(demo)))
    edit_module(demo)
    assert dry_run(params(demo))["expert"] == "code of mine changed"
    write_notebook(demo.parents[1], "04_train", "epochs = 2 * epochs", parameters="epochs: int = 1  # passes")
    assert "code of 04_train changed" in dry_run(params(demo))["train.1"]


def test_changed_files_of_the_base_model_are_named(demo):
    folder = demo.parents[1] / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    write_notebook(
        demo.parents[1], "04_train", "", parameters="epochs: int = 1  # passes\nbase: str = ''  # trained"
    )
    path = params(demo, train="base: models/mine")
    finish(plan_run(path))
    (folder / "config.json").write_text('{"layers": 2}')
    assert dry_run(path)["train.1"] == "its model's files changed"


def test_a_label_that_two_methods_share_is_compared_with_the_nearest_stage(demo):
    text = "run: a\nmethods: {{x: {{iterations: 1, train: {{epochs: 2}}}}, y: {{iterations: 1, train: {{epochs: {0}, seed: {0}}}}}}}"
    folder = demo.parents[1]
    finish(plan_run(write_params(folder, text.format(5), "a")))
    x, y = [n for n in plan_run(write_params(folder, text.format(5), "a")) if n.label == "train.1"]
    assert x.finished and y.finished
    write_params(folder, text.format(5).replace("epochs: 5", "epochs: 6"), "a")
    nodes = plan_run(folder / "params" / "a.yaml")
    (again,) = [n for n in nodes if n.label == "train.1" and not n.finished]
    assert reasons(nodes)[again] == "parameter epochs changed", "of y, not epochs and seed of x"


def test_code_that_changes_after_planning_stops_the_stage_before_it_starts(demo, monkeypatch):
    nodes = plan_run(params(demo))
    edit_module(demo)
    monkeypatch.setattr("eefcore.runs.execute.execute", None)  # would raise TypeError
    with pytest.raises(
        StageFailed, match="code of mine changed since this command planned it; start the command again"
    ):
        runner.run(nodes, resume="eef run a", jobs=1)
    assert not any(n.finished for n in nodes)
