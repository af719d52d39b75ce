"""The import order that ARCHITECTURE.md states, no cycles inside a package, and heavy packages only where they are needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from helpers.paths import CORE, ROOT

ROW = re.compile(r"^\| \d+ \| (.+) \|$", re.MULTILINE)
TABLE = [re.findall(r"`(\w+)`", row) for row in ROW.findall((ROOT / "ARCHITECTURE.md").read_text("utf-8"))]
LEVEL = {name: i for i, row in enumerate(TABLE) for name in row}

MODULES = sorted(p for p in CORE.rglob("*.py") if p != CORE / "__init__.py")
each = pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(CORE).with_suffix("").as_posix())

HEAVY = {
    "accelerate", "datasets", "jupyter_client", "matplotlib", "pandas", "papermill", "peft", "playwright", "ray",
    "scienceworld", "spacy", "starlette", "torch", "transformers", "vllm", "wandb", "wandb_workspaces",
}  # fmt: skip
MAY_BE_HEAVY = {
    "training": {"torch", "transformers", "peft"},
    "policies": {"torch", "transformers", "peft", "vllm"},
    "figures": {"matplotlib"},
    "runs.execute": {"papermill", "jupyter_client"},
}
"""Packages and modules that load a heavy package when they are imported; the others import it inside a function."""


def name_of(path: Path) -> str:
    parts = path.relative_to(CORE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(p): p for p in MODULES}


def imports(path: Path, *, at_import: bool) -> Iterator[str]:
    """Full names of what `path` imports; with `at_import` only what importing it loads."""
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{a.name}" for a in node.names)
        elif at_import and (_is_function(node) or _is_type_checking(node)):
            continue
        nodes += ast.iter_child_nodes(node)


def own_imports(path: Path, *, at_import: bool) -> Iterator[str]:
    """The modules of eefcore that `path` imports, by their names inside it."""
    for full in imports(path, at_import=at_import):
        first, _, name = full.partition(".")
        if first == "eefcore" and name:
            yield name if name in NAMES else name.rpartition(".")[0]


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def allowed(name: str) -> set[str]:
    """The heavy packages that the module called `name` may load."""
    return {h for place, heavy in MAY_BE_HEAVY.items() if f"{name}.".startswith(f"{place}.") for h in heavy}


def test_the_table_has_at_most_twelve_rows_and_names_every_package_once():
    assert 0 < len(TABLE) <= 12
    assert sorted(LEVEL) == sorted(name for row in TABLE for name in row)
    assert {name.partition(".")[0] for name in NAMES} == set(LEVEL)


@each
def test_a_package_imports_only_from_rows_above_its_own(path):
    package = name_of(path).partition(".")[0]
    others = {name.partition(".")[0] for name in own_imports(path, at_import=False) if name} - {package}
    assert {other for other in others if LEVEL[other] >= LEVEL[package]} == set()


@pytest.mark.parametrize("package", sorted(LEVEL))
def test_a_package_has_no_import_cycle(package):
    inside = {name: path for name, path in NAMES.items() if f"{name}.".startswith(f"{package}.")}
    inits = {name for name, path in inside.items() if path.name == "__init__.py"}
    arrows = {
        name: {other for other in own_imports(path, at_import=False) if other in inside and other != name}
        - inits
        for name, path in inside.items()
        if name not in inits
    }
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@each
def test_heavy_packages_are_loaded_where_they_are_needed(path):
    heavy = {name.partition(".")[0] for name in imports(path, at_import=True)} & HEAVY
    assert heavy <= allowed(name_of(path))


@each
def test_only_one_place_knows_each_thing(path):
    tops = {name.partition(".")[0] for name in imports(path, at_import=False)}
    name = name_of(path)
    assert "papermill" not in tops or name == "runs.execute"
    assert "wandb" not in tops or name.startswith("tracking.")
    assert "wandb_workspaces" not in tops or name == "reports.document.wandb_report"


def test_models_are_loaded_in_one_place_without_code_or_pickles_of_others():
    """Only `training` asks transformers for a model, a tokenizer or a config, and what it asks is safe."""
    calls = [
        (path, call)
        for path in MODULES
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).endswith((".from_pretrained", "load_peft_weights"))
    ]
    assert {name_of(path) for path, _ in calls} == {"training.models", "training.model_store"}
    loads = [call for _, call in calls if ast.unparse(call.func).startswith("Auto")]
    loaders = {ast.unparse(call.func).partition(".")[0] for call in loads}
    assert loaders == {"AutoConfig", "AutoModelForCausalLM", "AutoTokenizer"}
    assert all("**SAFE" in ast.unparse(call) for call in loads)
    assert any("use_safetensors=True" in ast.unparse(call) for call in loads)
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks and not [n.name for n in notebooks if "from_pretrained" in n.read_text(encoding="utf-8")]


def test_every_module_can_be_imported_and_most_load_nothing_heavy():
    """Modules of the rows above `search` but for training and policies, in a new process; then all others."""
    light = [n for n in NAMES if LEVEL[n.partition(".")[0]] < LEVEL["search"] and not allowed(n)]
    assert light
    code = f"""
import importlib, sys
def failing(names):
    for name in names:
        try:
            importlib.import_module("eefcore." + name)
        except ImportError as error:
            yield f"{{name}}:{{error.name}}"
failed = [*failing({light})]
print(*{HEAVY} & {{m.partition(".")[0] for m in sys.modules}})
print(*failed, *failing({sorted(set(NAMES) - set(light))}))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, *_, failed = run.stdout.removesuffix("\n").split("\n")  # W&B says between them that it is offline
    assert heavy == ""
    assert failed == ""
