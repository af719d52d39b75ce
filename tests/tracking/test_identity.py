"""A stage is known by what its base model holds, to the plan and to itself alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.workspaces import KNOBS, PLAY, write_notebook, write_params

from eefcore import policies
from eefcore.errors import PolicyError
from eefcore.runs.planning import plan_run
from eefcore.storage import hashing, stages
from eefcore.storage.hashing import hash_file, hash_folder
from eefcore.tracking.identity import identity
from eefcore.tracking.stage import Stage


def write_base(folder: Path, weights: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def base(demo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The `tiny` base of a workspace whose training names one."""
    folder = write_base(demo.parents[1] / "package" / "base", b"first")
    monkeypatch.setitem(policies.BASES, "tiny", folder)
    knobs = f"base: str = 'tiny'  # what it starts from\n{KNOBS['04_train']}{PLAY}"
    write_notebook(demo.parents[1], "04_train", parameters=knobs)
    write_params(demo.parents[1], "run: a\nmethods: {EEF: {iterations: 2}}")
    return folder


def of_plan(demo: Path) -> dict[str, str]:
    return {n.label: n.identity for n in plan_run(demo)}


def of_stage(demo: Path) -> str:
    """The identity that the first training takes when it is opened."""
    (node,) = [n for n in plan_run(demo) if n.label == "train.1"]
    folders = {name: read.folder for name, read in node.inputs.items()}
    stage = Stage.open(
        run=node.run, label=node.label, notebook=node.notebook.name, params=node.params, inputs=folders
    )
    stage.abandon()
    return stage.identity


def test_a_base_made_anew_makes_what_stands_on_it_anew(demo, base):
    before = of_plan(demo)
    write_base(base, b"other")
    after = of_plan(demo)
    assert {label for label in after if after[label] == before[label]} == {"expert", "select.1"}
    write_base(base, b"first")
    assert of_plan(demo) == before


def test_the_plan_and_the_stage_agree(demo, base, monkeypatch):
    monkeypatch.setattr(
        stages, "input_identity", lambda folder: {n.folder: n.identity for n in plan_run(demo)}[folder]
    )
    first = of_stage(demo)
    assert first == of_plan(demo)["train.1"]
    write_base(base, b"other")
    assert first != of_stage(demo) == of_plan(demo)["train.1"]


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_a_base_that_was_not_made_is_missed_before_anything_starts(demo, base, monkeypatch, left):
    gone = base.with_name("gone")
    monkeypatch.setitem(policies.BASES, "tiny", gone)
    if left == "an empty folder":
        gone.mkdir()
    for ask in (lambda: plan_run(demo), lambda: policies.load_policy("tiny")):
        with pytest.raises(PolicyError, match=f"^tiny: expected its weights in {gone}.*`make base`"):
            ask()


def test_a_folder_from_the_workspace_is_its_content_wherever_it_is_read_from(demo, base, monkeypatch):
    write_base(demo.parents[1] / "models" / "mine", b"first")
    write_base(demo.parents[1] / "models" / "copy", b"first")
    names = {name: identity("n", {"base": f"models/{name}"}, {}) for name in ("mine", "copy")}
    monkeypatch.chdir(demo.parents[1] / "notebooks")  # where a kernel works
    assert identity("n", {"base": "models/mine"}, {}) == names["mine"]
    assert policies.model_path("models/mine") == demo.parents[1] / "models" / "mine"
    monkeypatch.setenv("EEF_TEST_MODEL", str(demo.parents[1] / "models" / "mine"))
    write_base(demo.parents[1] / "models" / "mine", b"other")
    assert identity("n", {"base": "models/mine"}, {}) != names["mine"]
    given = identity("n", {"base": "${EEF_TEST_MODEL}"}, {})
    write_base(demo.parents[1] / "models" / "mine", b"third")
    assert identity("n", {"base": "${EEF_TEST_MODEL}"}, {}) != given


@pytest.mark.parametrize("name", ["meta-llama/Meta-Llama-3-8B-Instruct", "hf:someone/model", ""])
def test_a_hub_name_is_its_name(demo, name):
    assert identity("n", {"base": name}, {"a": "b"}) == stages.stage_identity("n", {"base": name}, {"a": "b"})


def test_a_base_that_cannot_be_read_is_told(demo, base, monkeypatch):
    def refuse(folder: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("eefcore.tracking.identity.hash_folder", refuse)
    with pytest.raises(stages.StoreError, match=r"package.base: can't read: Permission denied"):
        plan_run(demo)


# ---------------------------------------------------------------------------------- contents


def test_a_folders_content_is_its_names_and_bytes(tmp_path):
    one, other = (write_base(tmp_path / name, b"x") for name in ("one", "other"))
    assert hash_folder(one) == hash_folder(other)
    (other / "config.json").rename(other / "settings.json")
    assert hash_folder(one) != hash_folder(other)


def test_a_large_file_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(hashing, "LARGE", 10)
    path, notes = tmp_path / "large", tmp_path / "notes"
    path.write_bytes(b"0123456789")
    first = hash_file(path, notes)
    assert len(list(notes.iterdir())) == 1
    monkeypatch.setattr(hashing, "_hashes", {})  # as in a new process
    monkeypatch.setattr(hashing.hashlib, "file_digest", None)
    assert hash_file(path, notes) == first
    monkeypatch.undo()
    path.write_bytes(b"9876543210")
    assert hash_file(path, notes) != first


def test_a_small_file_leaves_no_note(tmp_path):
    (tmp_path / "small").write_bytes(b"0")
    assert hash_file(tmp_path / "small", tmp_path / "notes") == hash_file(tmp_path / "small", tmp_path)
    assert not (tmp_path / "notes").exists()
