"""Compute the identity of a stage: the hash of all that its results follow from, code included.

These are the notebook's name, the stage's parameters, the identities of its inputs, the files of a model that a
parameter names (of a model of the store, what it was made of; of a hub name, the name alone), and code: the notebook's
cells and every module that they import, directly or not, without comments and docstrings. The record keeps the hash of
each module, so that a plan can say which one changed (`eefcore.runs.changes`). The plan computes the identity to look
for a finished stage, the stage to name its folder. Installed packages are not hashed; their versions are in the record.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import msgspec

import eefcore
from eefcore.envs.registry import find_entry, split_name
from eefcore.errors import UNDECODABLE
from eefcore.experts.prompted import language_models
from eefcore.policies.loading import holds_model, model_path
from eefcore.storage import stages
from eefcore.storage.disk import explain_os_errors, write_atomically
from eefcore.storage.hashing import cache_folder, hash_folder
from eefcore.training.model_store import is_stored, model_content
from eefcore.types import Value
from eefcore.variables import expand_variables

MODELS = ("base", "critic", "expert")
"""The parameters that name a model: what training starts from, what ranks actions, and whom an agent learns from."""

PACKAGE = Path(eefcore.__file__).parent
INFRASTRUCTURE = ("eefcore.runs", "eefcore.tracking", "eefcore.cli")
"""Packages that start and record stages, and compute nothing of a result. Their imports are not followed."""

PRESENTATION = ("eefcore.figures", "eefcore.reports", "eefcore.viewer")
"""Packages that show results. They count for the notebooks in `REPORTS` alone, whose results are figures and tables."""

REPORTS = ("report", "suite")

_PLUGIN = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]\w*")


def identity(
    notebook: str,
    params: Mapping[str, Value],
    inputs: Mapping[str, str],
    code: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
) -> str:
    """Return the identity of a stage, 64 hex digits.

    Args:
        notebook: its name, as `05_explore`.
        params: those that its result follows from, not expanded.
        inputs: the identity of each input by its name.
        code: the hash of each module (`code_of`); None: computed here.
        models: the hash of each model that a parameter names (`models_of`); None: computed here.
    """
    code = code_of(notebook, params) if code is None else code
    models = models_of(params) if models is None else models
    followed = {**inputs, **{f"code of {name}": text for name, text in code.items()}, **models}
    return stages.stage_identity(notebook, params, followed)


def models_of(params: Mapping[str, Value]) -> dict[str, str]:
    """Return the hash of each model that a parameter names: of a folder's files, or of what a stored model was made of."""
    found = {}
    for key, path in _models(params):
        if isinstance(path, Path) and not holds_model(path):
            continue  # no stage could load it; a folder such as .. may hold all that this machine has
        if isinstance(path, Path):
            with explain_os_errors("read", path):
                found[key] = hash_folder(path, without="README.md")  # its card, which nothing reads
        elif is_stored(path):
            found[key] = model_content(path)
    return found


def _models(params: Mapping[str, Value]) -> Iterator[tuple[str, Path | str]]:
    """Yield the models that parameters name, each with its name in the identity of the stage."""
    for name in MODELS:
        text = str(expand_variables(params.get(name) or ""))
        specs = language_models(text, str(params.get("benchmark", ""))) if name == "expert" else [text]
        for i, spec in enumerate(spec for spec in specs if spec):
            yield f"{name} model{i or ''}", model_path(spec.removeprefix("vllm:"))


def code_of(notebook: str, params: Mapping[str, Value]) -> dict[str, str]:
    """Return the hash of each module that the results of a stage follow from, by its name, and of the notebook's cells.

    Followed are imports at the top of a module or inside a function, the modules that the registry of environments names
    for the parameter `benchmark`, and a function of your own, `my_module:function`, if its file is in the workspace or
    on PYTHONPATH. A notebook that the workspace does not have has no code.
    """
    return CodeReader().code_of(notebook, params)


class CodeReader:
    """Reads the code of stages, each file once: all stages of a plan follow from one version of it."""

    def __init__(self) -> None:
        self._cache = _Sources.at(cache_folder() / "code.json")
        self._sources: dict[Path, _Source] = {}
        self._modules: dict[str, dict[str, Path]] = {}

    def code_of(self, notebook: str, params: Mapping[str, Value]) -> dict[str, str]:
        """Return the hash of each module that the results of a stage follow from, as the function `code_of` does."""
        path = stages.workspace() / "notebooks" / f"{notebook}.ipynb"
        if not path.is_file():
            return {}
        left_out = INFRASTRUCTURE + (() if notebook.partition("_")[2] in REPORTS else PRESENTATION)
        found: dict[str, str] = {}
        waiting = {notebook: path, **_plugins(params)}
        for name in _registered(params):
            waiting |= self._led_to(name)
        while waiting:
            module, file = waiting.popitem()
            source = self._read(file)
            found[module] = source.code
            for name in source.imports:
                for imported, home in self._led_to(name).items():
                    if imported not in found and not imported.startswith(left_out):
                        waiting[imported] = home
        self._cache.save()
        return dict(sorted(found.items()))

    def _read(self, path: Path) -> _Source:
        if path not in self._sources:
            self._sources[path] = self._cache.read(path)
        return self._sources[path]

    def _led_to(self, name: str) -> dict[str, Path]:
        """Return the modules that an imported name leads to: `eefcore.training.train_sft` to `eefcore.training.sft`."""
        if name not in self._modules:
            self._modules[name] = self._follow(name) if name.startswith("eefcore.") else {}
        return self._modules[name]

    def _follow(self, name: str) -> dict[str, Path]:
        if file := _file(name):
            found = {name: file}
            if (
                file.name == "__init__.py"
            ):  # a package that is used as an object, `envs.load`: all that it exports
                for export in self._exports(file).values():
                    found |= self._led_to(export)
            return found
        package, _, attribute = name.rpartition(".")
        home = _file(package)
        if home is None:
            return self._led_to(package)
        exports = self._exports(home) if home.name == "__init__.py" else {}
        return self._led_to(exports[attribute]) if attribute in exports else {package: home}

    def _exports(self, init: Path) -> dict[str, str]:
        """Return the full names of what a package exports, by their short names; a lazy package has a stub beside it."""
        stub = init.with_suffix(".pyi")
        names = self._read(stub if stub.is_file() else init).imports
        return {name.rpartition(".")[2]: name for name in names if name.startswith("eefcore.")}


def _registered(params: Mapping[str, Value]) -> Iterator[str]:
    """Yield the modules that the registry of environments names as strings for the stage's benchmark."""
    benchmark = str(params.get("benchmark", ""))
    if entry := find_entry(benchmark):
        yield entry.loader.partition(":")[0]
        yield entry.composite_experts if split_name(benchmark).composite else entry.experts


def _plugins(params: Mapping[str, Value]) -> dict[str, Path]:
    """Return the files of the user's own modules that parameters name as `my_module:function`.

    They are looked for where every process of a run looks alike, not in the working folder of one of them.
    """
    workspace = stages.workspace()
    path = [Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    found = {}
    for value in params.values():
        match = _PLUGIN.fullmatch(value) if isinstance(value, str) else None
        if match and not match[1].startswith("eefcore."):
            stem = match[1].replace(".", "/")
            roots = (workspace / "notebooks", workspace, *path)
            files = (root / f"{stem}{end}" for root in roots for end in (".py", "/__init__.py"))
            if file := next((file for file in files if file.is_file()), None):
                found[file.stem] = file
    return found


@cache
def _file(module: str) -> Path | None:
    """Return the file of a module of the package; None if there is no such module."""
    stem = PACKAGE.parent.joinpath(*module.split("."))
    return next((f for f in (stem.with_suffix(".py"), stem / "__init__.py") if f.is_file()), None)


class _Source(msgspec.Struct, frozen=True):
    """One version of a source file: the hash of its code, and the names that it imports."""

    code: str
    imports: tuple[str, ...]


class _Sources:
    """A cache of parsed source files, by a hash of their bytes: parsing the whole package takes a second."""

    def __init__(self, path: Path) -> None:
        self._path, self._new = path, False
        self._by_bytes: dict[str, _Source] = {}
        with suppress(OSError, *UNDECODABLE):
            self._by_bytes = msgspec.json.decode(path.read_bytes(), type=dict[str, _Source])

    @classmethod
    @cache
    def at(cls, path: Path) -> _Sources:
        return cls(path)

    def read(self, path: Path) -> _Source:
        data = path.read_bytes()
        where = "" if PACKAGE not in path.parents else path.relative_to(PACKAGE.parent).as_posix()
        key = hashlib.sha256(where.encode() + b"\0" + data).hexdigest()
        if key not in self._by_bytes:
            self._by_bytes[key] = _source(path, data, where)
            self._new = True
        return self._by_bytes[key]

    def save(self) -> None:
        """Keep what was parsed for the next process; a cache that can't be written costs time and nothing else."""
        if self._new:
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self._path, msgspec.json.encode(self._by_bytes), sync=False)
            self._new = False


def _source(path: Path, data: bytes, where: str) -> _Source:
    """Parse a file: Python, a stub, or the code cells of a notebook but for the one of its parameters."""
    text = data.decode("utf-8", "replace")
    try:
        text = _code_cells(text) if path.suffix == ".ipynb" else text
        tree = ast.parse(text)
    # a cell with a magic in it, or a file that is no notebook or no Python just now: its text, and no imports
    except (SyntaxError, *UNDECODABLE, LookupError, TypeError, AttributeError, MemoryError):
        return _Source(_hash(text), ())
    imports = tuple(dict.fromkeys(imported_names(tree, where.rpartition("/")[0].replace("/", "."))))
    for node in ast.walk(tree):  # drop docstrings, and texts beneath constants
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [s for s in node.body if not _is_text(s)] or [ast.Pass()]
    return _Source(_hash(ast.dump(tree)), imports)


def _code_cells(notebook: str) -> str:
    """Return the code of a notebook but for the cell of its parameters."""
    return "\n".join(
        "".join(cell["source"])
        for cell in json.loads(notebook)["cells"]
        if cell["cell_type"] == "code" and "parameters" not in cell.get("metadata", {}).get("tags", ())
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def imported_names(tree: ast.AST, package: str = "") -> Iterator[str]:
    """Yield the full names that a module of `package` imports: of `from a import b` that is `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _is_text(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False
