"""The identity of a stage covers the files of its base model and the code that its results follow from."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from helpers.workspaces import KNOBS, PLAY, write_notebook, write_params

from eefcore import policies
from eefcore.errors import PolicyError
from eefcore.runs.planning import plan_run
from eefcore.storage import hashing, stages
from eefcore.storage.hashing import hash_file, hash_folder
from eefcore.tracking import identity as module
from eefcore.tracking.identity import code_of, identity
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


def test_a_base_trained_again_changes_the_identity_of_stages_that_read_it(demo, base):
    before = of_plan(demo)
    write_base(base, b"other")
    after = of_plan(demo)
    assert {label for label in after if after[label] == before[label]} == {"expert", "select.1"}
    write_base(base, b"first")
    assert of_plan(demo) == before


def test_the_weights_of_an_expert_are_part_of_its_identity(base):
    """An expert of scripts alone has none, and of two models both count."""

    def of(expert: str) -> str:
        return identity("02_expert", {"expert": expert, "benchmark": "webshop_mini"}, {}, {})

    names = ("strong", "tiny", "strong + tiny", "smollm2+tiny")
    before = [of(name) for name in names]
    write_base(base, b"other")
    assert [a == b for a, b in zip(before, map(of, names), strict=True)] == [True, False, False, False]


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


def test_a_folder_that_holds_no_model_is_not_read(demo, tmp_path, monkeypatch):
    """`critic: ../..` may name all that the machine has; planning refuses it, and must not hash it first."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    monkeypatch.setattr("eefcore.tracking.identity.hash_folder", lambda folder: pytest.fail(f"read {folder}"))
    for name in ("base", "critic"):
        identity("n", {name: str(tmp_path / "home")}, {}, {})
    with pytest.raises(
        PolicyError, match=r"home holds no model: expected config.json and weights, got thesis.txt"
    ):
        policies.check_policy(str(tmp_path / "home"), format="compact")


def test_a_base_that_cannot_be_read_is_an_error(demo, base, monkeypatch):
    def refuse(folder: Path, **options: str) -> str:
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


# ---------------------------------------------------------------------------------- code

CELLS = """
from eefcore.selection.algorithm import training_set
from eefcore.runs.opening import open_stage
from eefcore.figures.plots import Plot
"""


@pytest.fixture
def notebook(demo):
    """A function that writes notebook 03_select with one cell, and returns the hashes of its code."""

    def write(cell=CELLS, name="03_select", **params):
        write_notebook(demo.parents[1], name, cell, parameters="M: int = 1  # states")
        return code_of(name, params)

    return write


def test_imports_are_followed_from_module_to_module(notebook):
    found = notebook()
    assert {"03_select", "eefcore.selection.algorithm", "eefcore.types"} <= set(found)
    assert "eefcore.search.mcts" not in found


def test_what_runs_a_stage_and_what_draws_its_figures_is_not_part_of_its_results(notebook):
    assert not [
        m for m in notebook() if m.startswith(("eefcore.runs", "eefcore.tracking", "eefcore.figures"))
    ]
    assert "eefcore.figures.plots" in notebook(name="07_report")


def test_a_name_that_a_package_exports_leads_to_the_module_that_defines_it(notebook):
    found = notebook("from eefcore.figures import Plot", name="07_report")
    assert "eefcore.figures.plots" in found and "eefcore.figures.tree" not in found


def test_an_import_inside_a_function_counts(notebook):
    assert "eefcore.policies.vllm" in notebook("from eefcore.policies import load_policy")


def test_the_benchmark_brings_its_own_modules(notebook):
    shop = notebook("from eefcore import envs", benchmark="webshop_mini")
    house = notebook("from eefcore import envs", benchmark="sciworld_mini+composite")
    assert [m for m in shop if m.startswith("eefcore.envs.webshop.")] and not [
        m for m in shop if "sciworld." in m
    ]
    assert [m for m in house if m.startswith("eefcore.envs.sciworld.")] and not [
        m for m in house if "webshop." in m
    ]


def test_a_function_of_the_users_own_counts_with_what_it_imports(notebook, demo):
    mine = demo.parents[1] / "notebooks" / "mine.py"
    mine.write_text("from eefcore.search.mcts import ucb\n\ndef order():\n    return 1\n")
    before = notebook(choose="mine:order")
    assert "eefcore.search.mcts" in before
    mine.write_text(mine.read_text().replace("return 1", "return 2"))
    after = code_of("03_select", {"choose": "mine:order"})
    assert {m for m in before if before[m] != after[m]} == {"mine"}


SOURCE = '''
"""A module."""

LIMIT = 3
"""The limit."""


def doubled(x: int) -> int:
    """Return twice x."""
    return 2 * x  # twice
'''


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("A module", "One module", True),
        ("The limit", "At most so many", True),
        ("Return twice x.", "Return x, twice.", True),
        ("  # twice", "", True),
        ("\n\n\n", "\n\n\n\n\n", True),
        ("2 * x", "x * 2", False),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("x: int", "x: float", False),
    ],
)
def test_comments_and_docstrings_do_not_change_the_hash_of_code(tmp_path, before, after, same):
    path = tmp_path / "module.py"
    assert before in SOURCE
    first, second = (
        module._source(path, textwrap.dedent(text).encode(), "")
        for text in (SOURCE, SOURCE.replace(before, after))
    )
    assert (first.code == second.code) is same


def test_what_was_parsed_is_not_parsed_again(notebook, monkeypatch):
    before = notebook()
    monkeypatch.setattr(module, "_source", None)  # would raise
    assert code_of("03_select", {}) == before
    module._Sources.at.cache_clear()  # another process reads the cache of this one
    assert code_of("03_select", {}) == before


def test_a_notebook_that_is_not_there_has_no_code(demo):
    assert code_of("99_nothing", {}) == {}
