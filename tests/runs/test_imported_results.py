"""A results folder that others made is read: no name in it leads elsewhere, and nothing in it is run."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers.workspaces import write_notebook

from eefcore.errors import EefError, ParamsError, StoreError
from eefcore.reports.document.publication import publish
from eefcore.runs.notebook import own_notebook, read_notebook
from eefcore.runs.opening import input_folder, open_stage
from eefcore.runs.planning import recorded_report
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.storage.stages import StageRecord

EEF = Path(sys.executable).with_name("eef")
EXPERT, REPORT = "ab" * 32, "cd" * 32


def recorded(folder: str, **changes) -> StageRecord:
    """The record of a report over one expert stage, as `changes` forge it, in results/imported/<folder>."""
    facts = {
        "label": "report",
        "notebook": "07_report",
        "params": {"title": "a run"},
        "inputs": {"EEF/experts": EXPERT},
        "identity": REPORT,
        "card": None,
        "cost": Cost(),
        "metrics": {},
        "packages": {},
        "seconds": 1.0,
        "attempts": 1,
        "started": datetime(2026, 1, 1, tzinfo=UTC),
        "finished": datetime(2026, 1, 2, tzinfo=UTC),
    }
    record = StageRecord(**{**facts, **changes})
    place = stages.run_folder("imported") / folder
    place.mkdir(parents=True)
    stages.write_record(place, record)
    return record


def expert(**changes) -> StageRecord:
    facts = {"label": "expert", "notebook": "02_expert", "params": {}, "inputs": {}, "identity": EXPERT}
    return recorded("expert-abababab", **{**facts, **changes})


@pytest.fixture
def elsewhere(demo) -> Path:
    """A notebook that the imported folder brings along, which leaves a mark where it runs; the mark."""
    mark = demo.parents[1] / "it_ran"
    evil = demo.parents[1] / "results" / "evil"
    evil.mkdir(parents=True)
    made = write_notebook(
        demo.parents[1], "07_evil", f"open({str(mark)!r}, 'w')", parameters="a: int = 0  # a"
    )
    made.rename(evil / "07_report.ipynb")
    (evil / "module.py").write_text(f"open({str(mark)!r}, 'w')\ndef load(**_): ...\n")
    (evil / "__init__.py").write_text(f"open({str(mark)!r}, 'w')\n")
    return mark


def refused(elsewhere: Path, says: str, kind: type[EefError] = ParamsError) -> None:
    with pytest.raises(kind, match=says):
        recorded_report("imported")
    assert not elsewhere.exists()


def test_a_results_folder_from_elsewhere_is_read(elsewhere):
    expert()
    recorded("report-cdcdcdcd")
    node = recorded_report("imported")
    assert (node.label, node.params, node.notebook.name) == ("report", {"title": "a run"}, "07_report")
    assert {k: n.folder for k, n in node.inputs.items()} == {
        "EEF/experts": stages.run_folder("imported") / "expert-abababab"
    }


NAMES = [
    "../results/evil/07_report",
    "./07_report",
    "07_report/../../results/evil/07_report",
    "sub/07_report",
    "07_REPORT",
    "07_repor?",
    "*_report",
    "7_report",
    "_report",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_record_names_only_a_notebook_of_the_workspace(elsewhere, name):
    expert()
    recorded("report-cdcdcdcd", notebook=name)
    refused(elsewhere, "names no notebook of|no report was made", EefError)


@pytest.mark.parametrize("name", NAMES)
def test_the_records_of_a_reports_inputs_name_only_notebooks_of_the_workspace(elsewhere, name):
    expert(notebook=name)
    recorded("report-cdcdcdcd")
    refused(elsewhere, "names no notebook of")


@pytest.mark.parametrize("name", ["", *NAMES])
def test_a_notebook_is_known_by_its_exact_name_alone(elsewhere, name):
    (Path("notebooks") / "sub").mkdir()
    folder = Path("notebooks").resolve()
    (folder / "sub" / "07_report.ipynb").write_bytes((folder / "07_report.ipynb").read_bytes())
    with pytest.raises(ParamsError, match="names no notebook"):
        own_notebook(folder, name)
    with pytest.raises(ParamsError, match="names no notebook"):
        open_stage(name, {})
    with pytest.raises(ParamsError, match="names no notebook"):
        own_notebook(folder, str(folder / "07_report"))
    assert own_notebook(folder, "07_report") == read_notebook(folder / "07_report.ipynb")


def test_eef_report_runs_no_code_of_a_results_folder(elsewhere):
    """The whole way, as it was reported: the notebook of another folder, and a parameter that is code."""
    expert()
    recorded("report-cdcdcdcd", notebook=NAMES[0])
    done = subprocess.run([EEF, "report", "imported"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "names no notebook" in done.stderr and "Traceback" not in done.stderr
    code = f"open({str(elsewhere)!r}, 'w')\ntitle"
    recorded("report-efefefef", identity="ef" * 32, params={code: "x"}, finished=datetime.now(UTC))
    done = subprocess.run([EEF, "report", "imported"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "does not declare" in done.stderr and "Traceback" not in done.stderr
    assert not elsewhere.exists()


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"title = print(1)\nx": 1}, "a parameter 'title = print.*which 07_report does not declare"),
        ({"run": "../evil"}, "a parameter 'run', which 07_report does not declare"),
        ({"inputs": '{"a": "/etc"}'}, "a parameter 'inputs'"),
        ({"title": 3}, "title: must be str, got int 3"),
        ({"title": "${EEF_TEST_NOWHERE}"}, "set the environment variable EEF_TEST_NOWHERE"),
        (
            {"title": "results.evil.module:load"},
            "would run results/evil/module, a file of the results folder",
        ),
        ({"title": "evil.module:load"}, "would run results/evil/module"),
    ],
)
def test_recorded_parameters_are_those_that_the_notebook_declares(elsewhere, monkeypatch, params, says):
    for place in ("", "results"):
        monkeypatch.syspath_prepend(str(Path(place).resolve()))
    expert()
    recorded("report-cdcdcdcd", params=params)
    refused(elsewhere, says)


@pytest.mark.parametrize(
    ("forged", "says"),
    [({"label": "../../evil"}, "label '../../evil' does not"), ({"identity": "../../../../.."}, "identity")],
)
def test_a_stages_folder_stays_in_its_run(elsewhere, forged, says):
    expert(**forged)
    recorded("report-cdcdcdcd", inputs={"EEF/experts": forged.get("identity", EXPERT)})
    with pytest.raises(ParamsError, match=says):
        [n.folder for n in recorded_report("imported").inputs.values()]


def test_what_a_report_reads_must_be_there(elsewhere):
    recorded("report-cdcdcdcd")
    refused(elsewhere, "reads a stage 'abababab' that is not there", StoreError)
    expert(inputs={"a": EXPERT})  # of itself: no plan makes that
    assert set(recorded_report("imported").inputs) == {"EEF/experts"}


@pytest.mark.parametrize(
    "folder", ["/etc", "../evil", "a/../../evil", "..", "", ".", "a\\..\\..\\b", "a\0b", "//etc"]
)
def test_inputs_are_folders_under_the_results_root(elsewhere, folder):
    with pytest.raises(ParamsError, match="is no folder under"):
        input_folder(folder)
    scope = {p.name: p.default for p in own_notebook(Path("notebooks"), "07_report").parameters.values()}
    scope |= {"inputs": json.dumps({"experts": folder}), "label": "report"}
    with pytest.raises(ParamsError, match="is no folder under"):
        open_stage("07_report", scope)


@pytest.mark.parametrize("text", ["[]", "not json", '{"a": 1}'])
def test_inputs_are_names_and_folders(elsewhere, text):
    scope = {p.name: p.default for p in own_notebook(Path("notebooks"), "07_report").parameters.values()}
    with pytest.raises(ParamsError, match="parameter inputs: expected a JSON object"):
        open_stage("07_report", scope | {"inputs": text})


def test_a_link_out_of_the_stage_is_not_published(demo):
    stage = demo.parents[1] / "results" / "imported" / "report-cdcdcdcd"
    (stage / "tables").mkdir(parents=True)
    (stage / "tables" / "methods.csv").write_text("ours")
    secret = demo.parents[1] / "secret"
    secret.write_text("mine")
    (stage / "tables" / "other.csv").symlink_to(secret)
    with pytest.raises(StoreError, match="a link to a file outside of it"):
        publish("imported", stage)
    assert not (demo.parents[1] / "results" / "published").exists()
    with pytest.raises(ParamsError, match="does not name a folder"):
        publish("../evil", stage)
