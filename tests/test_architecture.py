"""The import order of eefcore (DESIGN §2), what may load what is heavy, and how long a module may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "eefcore"
MODULES = sorted(p for p in CORE.rglob("*.py") if p.name != "__init__.py")
each = pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(CORE).with_suffix("").as_posix())

# A module imports only from rows above its own. A package (envs, experts, policies) has one place, but for the two
# in `ROOMS`, whose modules have one each.
ROOMS = {"runs", "reports"}
LAYERS = [
    # L0: nouns; and what stands alone
    ["types", "errors", "runs/kernel"],
    ["plugins", "prompts", "composite"],
    # L1
    ["protocols", "formats", "disk", "contents", "runs/kernels", "orders", "probes"],
    ["questions"],
    # L2
    [
        "rollout",
        "skills",
        "selection",
        "masking",
        "ledger",
        "stats",
        "records",
        "journal",
        "logbook",
        "runs/notebook",
        "provenance",
        "leakage",
    ],
    ["losses", "metrics", "store", "envs", "batches", "bandit"],
    ["experts", "scoring", "finders"],
    # L3
    ["reports/plots", "reports/wording", "trainer", "references", "models"],
    ["policies", "search", "training", "dpo", "segments", "runs/params"],
    [
        "reports/cases",
        "reports/why",
        "reports/figures",
        "reports/preference_figures",
        "runs/identity",
        "judges",
    ],
    ["reports/search_figures", "reports/acting_figures", "reports/tree_view", "runs/outline"],
    ["tracking", "exploration", "runs/plan", "choice", "forest", "deciding"],
    # L4
    ["preferences", "buffer", "runs/board", "runs/execute", "runs/suite", "runs/estimate"],
    ["runs/runner", "runs/shapes", "reports/cells", "reports/suite_figures"],
    ["runs/tables", "reports/document"],
    ["reports/page", "reports/published", "reports/studies", "reports/comparison"],
    ["reports/ranking", "reports/markdown"],
    ["reports/wandb_report", "reports/chapters"],
    ["reports/acting"],
    ["reports/report", "reports/evidence", "reports/suite_difficulty"],
    ["reports/suite_recipes"],
    ["reports/suite_evidence"],
    ["reports/suite_tables", "reports/suite_finders", "reports/suite_why", "reports/suite_passes"],
    ["reports/suite_sections", "reports/suite_search"],
    ["reports/suite_report"],
    ["pipeline", "data_cli"],
    ["cli"],
]
LEVEL = {name: i for i, layer in enumerate(LAYERS) for name in layer}
LIGHT = LEVEL["experts"]  # and above; but for the losses, which are functions of tensors

HEAVY = {
    "accelerate", "datasets", "jupyter_client", "matplotlib", "pandas", "papermill", "peft", "playwright", "ray",
    "scienceworld", "spacy", "starlette", "torch", "transformers", "vllm", "wandb", "wandb_workspaces",
}  # fmt: skip
MAY_BE_HEAVY = {
    "losses": {"torch"},
    "policies": {"torch", "transformers", "peft", "vllm"},
    "models": {"torch", "transformers", "peft"},
    "batches": {"torch"},
    "scoring": {"torch"},
    "trainer": {"torch", "transformers"},
    "training": {"torch"},
    "dpo": {"torch"},
    "reports/plots": {"matplotlib"},
    "runs/execute": {"papermill", "jupyter_client"},
    "runs/shapes": {"torch", "transformers"},
}

LINES = 260  # a longer module hides a second noun, or a library
LONGER = {
    "experts/foreign": 340,
    "policies/hf": 290,
    "tracking": 380,
    "types": 280,
}


def place(path: Path) -> str:
    return named(path.relative_to(CORE).with_suffix("").parts)


def named(parts: Sequence[str]) -> str:
    return "/".join(parts[: 2 if parts[0] in ROOMS else 1])


def imports(path: Path, *, at_import: bool) -> Iterator[str]:
    """Full names of what `path` imports; with `at_import` only what importing it loads."""
    nodes = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{a.name}" for a in node.names)
        elif at_import and (_is_function(node) or _is_type_checking(node)):
            continue
        nodes += ast.iter_child_nodes(node)


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_every_module_has_a_level():
    assert MODULES
    assert {place(p) for p in MODULES} - set(LEVEL) == set()


@each
def test_a_module_imports_only_from_below(path):
    names = [name.split(".") for name in imports(path, at_import=False)]
    own = {named(parts[1:]) for parts in names if parts[0] == "eefcore" and parts[1:]}
    mine = place(path)
    packages = {mine} if (CORE / mine).is_dir() else set()
    assert {m for m in own - packages if m in LEVEL and LEVEL[m] >= LEVEL[mine]} == set()


@each
def test_what_is_heavy_is_loaded_by_those_who_need_it(path):
    heavy = {name.split(".")[0] for name in imports(path, at_import=True)} & HEAVY
    assert heavy <= MAY_BE_HEAVY.get(place(path), set())


@each
def test_only_one_module_knows_each_thing(path):
    """Notebooks are run by `execute`, W&B is spoken to by `segments` and, of reports, by `wandb_report`."""
    tops = {name.split(".")[0] for name in imports(path, at_import=False)}
    assert "papermill" not in tops or place(path) == "runs/execute"
    assert "wandb" not in tops or place(path) == "segments"
    assert "wandb_workspaces" not in tops or place(path) == "reports/wandb_report"


@each
def test_modules_stay_short(path):
    name = path.relative_to(CORE).with_suffix("").as_posix()
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGER.get(name, LINES)


def test_every_module_can_be_imported_and_the_lower_layers_load_nothing_heavy():
    light = [p for p in MODULES if LEVEL.get(place(p), LIGHT + 1) <= LIGHT and place(p) not in MAY_BE_HEAVY]
    rest = [p for p in MODULES if p not in light]
    heavy, failed = (set(line.split()) for line in _imported(light, rest))
    assert heavy == set()
    assert failed == set()


def _imported(light: list[Path], rest: list[Path]) -> list[str]:
    """In a new process: the heavy packages that `light` loads, and the modules that can't be imported."""
    first, second = (
        [".".join(("eefcore", *p.relative_to(CORE).with_suffix("").parts)) for p in paths]
        for paths in (light, rest)
    )
    code = f"""
import importlib, sys
def failing(names):
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield f"{{name}}:{{error.name}}"
failed = [*failing({first})]
heavy = {HEAVY} & {{m.partition(".")[0] for m in sys.modules}}
failed += failing({second})
print(*heavy)
print(*failed)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.split("\n")[:2]
