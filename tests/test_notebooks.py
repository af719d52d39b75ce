"""What every notebook keeps to, and that params files fit them."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from helpers.official_files import write_official_files
from helpers.paths import ROOT

from eefcore.experts import PromptedExperts
from eefcore.policies import PolicySettings
from eefcore.runs.notebook import read_notebook
from eefcore.runs.params import RESERVED, STAGES
from eefcore.runs.planning import plan_run, plan_suite_file
from eefcore.runs.ranges import read_range

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARAMS = sorted((ROOT / "params").glob("*.yaml"))
SUITES = sorted((ROOT / "params" / "suites").glob("*.yaml"))
LINES = 80  # of code
CHOICES = {
    "allocation",
    "architecture",
    "by",
    "choose",
    "cloning",
    "demonstrations",
    "finder",
    "how",
    "keep",
    "kind",
    "pairs",
    "signal",
    "split",
}

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]


def test_there_are_notebooks_and_params():
    """A parametrised test over nothing is skipped, not failed."""
    assert {read_notebook(path).stage for path in NOTEBOOKS} >= {"tour", "base", *STAGES}
    assert {path.stem for path in PARAMS} >= {"smoke", "quickstart"}


@each
def test_a_notebook_is_named_by_a_number_and_words(path):
    assert re.fullmatch(r"\d\d_[a-z_]+", path.stem)


@each
def test_committed_without_traces_of_a_run(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert all(not c.outputs and c.execution_count is None for c in code(path))
    assert all(set(c.metadata) <= {"tags"} for c in notebook.cells)
    assert set(notebook.metadata) == {"kernelspec"} and notebook.metadata.kernelspec.name == "python3"


@each
def test_a_notebook_has_at_most_eighty_lines_of_code_and_no_loops(path):
    tree = ast.parse("\n".join(c.source for c in code(path)))
    thick = (ast.ClassDef, ast.For, ast.While, ast.FunctionDef, ast.AsyncFunctionDef, ast.Try)
    assert not [n.lineno for n in ast.walk(tree) if isinstance(n, thick)]
    assert sum(len(c.source.splitlines()) for c in code(path)) <= LINES


@each
def test_imports_from_packages_what_they_export(path):
    """A notebook imports from `eefcore.training`, never from a module inside it, and only what the package exports."""
    nodes = [n for c in code(path) for n in ast.walk(ast.parse(c.source))]
    assert not [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names if "eefcore" in a.name]
    names = [(n.module, a.name) for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names]
    ours = [(module, name) for module, name in names if module.split(".")[0] == "eefcore"]
    assert ours and not [module for module, _ in ours if module.count(".") > 1]
    for module, name in ours:
        if module == "eefcore":  # `from eefcore import envs`
            assert find_spec(f"eefcore.{name}")
        else:
            room = import_module(module)
            assert name in getattr(room, "__all__", vars(room)), f"{module} does not export {name}"


@each
def test_opens_with_a_heading_that_explains_it(path):
    first = nbformat.read(path, 4).cells[0]
    assert first.cell_type == "markdown"
    heading, *text = first.source.splitlines()
    assert heading.startswith("# ") and any(text)


@each
def test_a_stage_declares_what_the_pipeline_fills_and_opens_itself(path):
    notebook = read_notebook(path)
    types = {name: p.type for name, p in notebook.parameters.items()}
    assert {name: types.get(name) for name in RESERVED} == dict.fromkeys(RESERVED, "str")
    assert types.get("iteration", "int") == "int" and types.get("split", "str") == "str"
    calls = [n for c in code(path) for n in ast.walk(ast.parse(c.source)) if isinstance(n, ast.Call)]
    (opened,) = [n for n in calls if isinstance(n.func, ast.Name) and n.func.id == "open_stage"]
    assert ast.unparse(opened.args[0]) == repr(path.stem)


@each
def test_every_parameter_is_used_and_seen_by_papermill(path):
    import papermill

    declared = read_notebook(path).parameters
    assert list(papermill.inspect_notebook(str(path))) == list(declared)
    (_, *rest) = code(path) if declared else [None, *code(path)]
    used = {n.attr for c in rest for n in ast.walk(ast.parse(c.source)) if isinstance(n, ast.Attribute)}
    if "PolicySettings.of(p)" in "".join(c.source for c in rest):
        used |= {"engine", *PolicySettings.LIMITS}
    if "PromptedExperts.of(p, " in "".join(c.source for c in rest):
        used |= {"engine", *PromptedExperts.SETTINGS, *PromptedExperts.OWN}
    filled = RESERVED | {"iteration"}  # may be there for the identity alone
    assert set(declared) - filled <= used


@each
def test_every_number_has_a_range_and_every_closed_choice_its_names(path):
    """A number is checked before anything starts; what is written as a choice in words is read as one."""
    for parameter in read_notebook(path).parameters.values():
        if parameter.type in ("int", "float"):
            assert read_range(parameter.help), f"{parameter.name}: end its help in a range, such as (≥ 1)"
            assert parameter.default is None or not read_range(parameter.help)(parameter.default)
        if parameter.name in CHOICES:
            assert read_range(parameter.help), f"{parameter.name}: end its help in (one of …)"


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every environment variable that a params file names is set, to a folder or file that a plan takes for a real one."""
    folder = write_official_files(tmp_path)
    (folder / "config.json").write_text("{}")
    (trajectories := folder / "trajectories.jsonl").touch()
    for path in PARAMS:
        text = path.read_text(encoding="utf-8")
        files = re.findall(r"\$\{(\w+)\}", " ".join(re.findall(r'file: "[^"]*"', text)))
        for name in re.findall(r"\$\{(\w+)\}", text):
            monkeypatch.setenv(name, str(trajectories if name in files else folder))
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", PARAMS, ids=lambda p: p.stem)
def test_params_fit_the_notebooks(path, variables):
    nodes = plan_run(path)
    assert nodes[-1].label == "report" and {n.run for n in nodes} == {path.stem}


@pytest.mark.parametrize("path", SUITES, ids=lambda p: p.stem)
def test_suites_fit_the_notebooks(path, variables):
    *stages, report = plan_suite_file(path)
    assert report.run == path.stem and all(node.run.startswith(f"{path.stem}/seed") for node in stages)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One results folder for all notebooks, empty as in a fresh clone."""
    return tmp_path_factory.mktemp("results")


@each
@pytest.mark.notebook
@pytest.mark.xdist_group("notebooks")
def test_runs_at_its_defaults_in_a_fresh_clone(path, results, tmp_path, monkeypatch):
    import papermill

    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("EEF_RESULTS", str(results))
    papermill.execute_notebook(
        path, tmp_path / path.name, cwd=ROOT / "notebooks", kernel_name="python3", progress_bar=False
    )
    ran = nbformat.read(tmp_path / path.name, 4)
    assert all(c.execution_count for c in ran.cells if c.cell_type == "code" and c.source.strip())
    shown = {kind for c in ran.cells for o in c.get("outputs", []) for kind in o.get("data", {})}
    assert "image/png" in shown, "a notebook shows a figure"
    assert shown & {"text/html", "text/plain"}, "and a table"


@pytest.mark.slow
def test_a_notebook_that_was_run_is_nothing_to_commit(tmp_path):
    """As JupyterLab saves it: outputs, counts, the language of the kernel. A changed cell is something."""

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        ran = subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        assert "failed" not in ran.stderr
        return ran.stdout

    clean = re.search(r"^CLEAN := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert clean
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    paths = [tmp_path / "notebooks" / name for name in ("00_tour.ipynb", "04_train.ipynb")]
    paths[0].parent.mkdir()
    for path in paths:
        shutil.copy(ROOT / "notebooks" / path.name, path)
    git("init", "-q")
    git("config", "filter.notebooks.clean", clean[1].replace("$(BIN)", ".venv/bin"))
    git("add", "notebooks", ".gitattributes")
    git("commit", "-qm", "notebooks")
    assert git("show", "HEAD:notebooks/00_tour.ipynb") == paths[0].read_text("utf-8")

    for path in paths:
        saved = nbformat.read(path, 4)
        saved.metadata["language_info"] = {"name": "python", "version": "3.11"}
        saved.metadata["kernelspec"]["display_name"] = "Python 3 (ipykernel)"  # what the kernel calls itself
        for count, cell in enumerate(c for c in saved.cells if c.cell_type == "code"):
            cell.execution_count, cell.outputs = count, [nbformat.v4.new_output("stream", text="seen")]
        nbformat.write(saved, path)
    assert git("diff") == ""
    git("add", "-u")
    assert git("status", "--porcelain", "--untracked-files=no") == ""

    changed = nbformat.read(paths[1], 4)
    changed.cells[-1].source += "\n1 + 1"
    nbformat.write(changed, paths[1])
    assert git("diff", "--name-only") == "notebooks/04_train.ipynb\n"
