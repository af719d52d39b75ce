"""Stage folders: their names, records, locks and identities."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eefcore.errors import ParamsError, StoreError
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.storage.stages import StageRecord
from eefcore.types import Card

CARD = Card("webshop", {"products": 1000, "catalogue": "ab12", "prices": 0})


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path))
    return tmp_path


def stage(label="select.1", identity="ab" * 32, minute=0):
    at = datetime(2026, 1, 1, 0, minute, tzinfo=UTC)
    return StageRecord(
        label=label,
        notebook="03_select",
        params={"M": 1, "what": "é", "levels": [1, 2]},
        inputs={"experts": "cd" * 32},
        identity=identity,
        card=CARD,
        cost=Cost(episodes=3, seconds=1.5),
        metrics={"select/n_initial": 4, "explore/win_rate": 0.5, "explore/none": None, "policy": "tiny"},
        packages={"python": "3.11"},
        seconds=1.5,
        attempts=2,
        started=at,
        finished=at,
    )


def finish(run, record):
    folder = stages.stage_folder(run, record.label, record.identity)
    partial = stages.partial_folder(folder)
    partial.mkdir(parents=True)
    stages.write_record(partial, record)
    assert not stages.is_finished(folder)
    stages.publish(folder)
    assert stages.is_finished(folder) and not partial.exists()
    return folder


def test_a_stage_is_finished_when_its_folder_exists(root):
    folder = finish("smoke", stage())
    assert folder == root / "smoke" / "select.1-abababab"
    assert stages.read_record(folder) == stage()


def test_the_stages_of_a_run_are_sorted_by_the_time_they_finished(root):
    for label, minute in (("select.1", 5), ("expert", 1), ("explore#1", 9)):
        finish("smoke", stage(label, minute=minute))
    finish("other", stage("expert"))
    stages.partial_folder(stages.stage_folder("smoke", "train.1", "ef" * 32)).mkdir()
    assert [r.label for r in stages.finished_stages("smoke")] == ["expert", "select.1", "explore#1"]
    assert stages.finished_stages("never") == []
    assert stages.list_runs() == ["other", "smoke"]


def test_publishing_removes_the_leftovers_of_a_killed_write(root):
    folder = stages.stage_folder("r", "a", "ab" * 32)
    partial = stages.partial_folder(folder)
    partial.mkdir(parents=True)
    (partial / ".metrics.jsonl.123-0.tmp").write_text("half")
    (partial / "metrics.jsonl").write_text("whole")
    stages.publish(folder)
    assert [p.name for p in folder.iterdir()] == ["metrics.jsonl"]


numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=5)
params = st.dictionaries(
    names, st.one_of(st.integers(-9, 9), st.booleans(), names, numbers, st.none()), max_size=4
)


@settings(deadline=None)
@given(params, st.dictionaries(names, names, max_size=3))
def test_identity_does_not_depend_on_order(given_params, inputs):
    ours = stages.stage_identity("03_select", given_params, inputs)
    assert ours == stages.stage_identity(
        "03_select", dict(reversed(given_params.items())), dict(reversed(inputs.items()))
    )
    assert len(ours) == 64


@pytest.mark.parametrize(
    "other",
    [
        ("04_train", {"M": 1, "version": 1}, {"experts": "a"}),
        ("03_select", {"M": 2, "version": 1}, {"experts": "a"}),
        ("03_select", {"M": True, "version": 1}, {"experts": "a"}),
        ("03_select", {"M": "1", "version": 1}, {"experts": "a"}),
        ("03_select", {"M": 1, "version": 2}, {"experts": "a"}),
        ("03_select", {"M": 1, "version": 1}, {"experts": "b"}),
        ("03_select", {"M": 1, "version": 1}, {"simulations": "a"}),
        ("03_select", {"M": 1, "version": 1, "experts": "a"}, {}),
    ],
)
def test_identity_depends_on_notebook_parameters_and_inputs(other):
    assert stages.stage_identity(*other) != stages.stage_identity(
        "03_select", {"M": 1, "version": 1}, {"experts": "a"}
    )


def test_an_input_is_identified_by_its_record_or_by_its_files(root):
    assert stages.input_identity(finish("r", stage())) == "ab" * 32
    base = root / "base"
    (base / "sub").mkdir(parents=True)
    (base / "config.json").write_text("{}")
    before = stages.input_identity(base)
    (base / "sub" / "weights").write_bytes(b"\0")
    after = stages.input_identity(base)
    (base / "sub" / "weights").rename(base / "weights")
    assert len({before, after, stages.input_identity(base)}) == 3
    with pytest.raises(StoreError, match="no finished stage and no files; run the stage"):
        stages.input_identity(root / "never")


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "-x", "a\n"])
def test_a_label_that_leaves_the_results_folder_is_refused(root, name):
    with pytest.raises(ParamsError, match="does not name a folder"):
        stages.stage_folder("smoke", name, "ab" * 32)


@pytest.mark.parametrize("name", ["", "..", "/", "/etc", "a/../b", "a//b"])
def test_a_run_name_that_leaves_the_results_folder_is_refused(root, name):
    with pytest.raises(ParamsError, match="does not name a folder"):
        stages.run_folder(name)


def test_the_results_folder_is_beside_the_notebooks_from_any_working_folder(tmp_path, monkeypatch):
    for folder in ("notebooks", "params", "eefcore/envs"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.delenv("EEF_RESULTS", raising=False)
    for start in (".", "notebooks", "eefcore/envs"):
        monkeypatch.chdir(tmp_path / start)
        assert stages.results_root() == tmp_path / "results"
    monkeypatch.setenv("EEF_RESULTS", "elsewhere")
    assert stages.results_root() == tmp_path / "elsewhere"


CLAIM = "import sys; from eefcore.storage.stages import *; StageLock(stage_folder('r', 'a', 'ab' * 32)); print('mine')"


def test_one_process_at_a_time_works_on_a_stage(root):
    def other():
        return subprocess.run([sys.executable, "-c", CLAIM], capture_output=True, text=True)

    claim = stages.StageLock(stages.stage_folder("r", "a", "ab" * 32))
    refused = other()
    assert f"but process {os.getpid()} does; wait for it or stop it" in refused.stderr
    claim.release()
    assert other().stdout == "mine\n"
    stages.StageLock(stages.stage_folder("r", "a", "ab" * 32)).release()


def test_reading_stages_imports_no_heavy_package():
    script = "import sys, eefcore.storage.stages, eefcore.storage.journal, eefcore.tracking.stage; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "wandb", "matplotlib", "papermill"} & set(loaded.stdout.split())


def test_a_notebook_shows_a_finished_stage_with_its_metrics():
    html = stage(label="<select>")._repr_html_()
    assert "<b>&lt;select&gt;-abababab</b> finished after 2 s in 2 attempts" in html
    assert "<tr><th>explore/win_rate</th><td>0.5</td></tr>" in html
    assert "<tr><th>policy</th><td>tiny</td></tr>" in html


def test_a_shell_shows_a_finished_stage_with_its_metrics():
    first, *metrics = repr(stage(label="explore")).splitlines()
    assert first == "explore-abababab finished after 2 s in 2 attempts"
    assert {"  explore/win_rate 0.5", "  policy tiny"} <= {*metrics}
