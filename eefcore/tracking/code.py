"""Hash the code that a stage's results follow from, so that changed code is never taken for unchanged results.

A stage is a notebook, and the notebook imports the library. `code_of` follows these imports from module to module and
hashes each module, and the notebook's own cells, without comments and docstrings: to reword is no change, to edit a
line of code is one. The hashes are part of the stage's identity and stand in its record, so that a plan can say which
module changed (`eefcore.runs.changes`).

    followed        every import, at the top of a module or inside a function; of `from eefcore.training import x`
                    the module that defines x; the modules that the registry of environments names for `benchmark`
    followed too    a function of your own, `my_module:function`, if its file is in the workspace or on PYTHONPATH
    left out        `runs`, `tracking` and `cli`: they start stages and record them, and compute nothing of a result;
                    but in the notebooks of reports, `figures` and `reports`: they show what was computed;
                    installed packages, whose versions are in the record
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec

import eefcore
from eefcore.envs.composite import SUFFIX
from eefcore.envs.registry import ENTRIES
from eefcore.storage import stages
from eefcore.storage.disk import write_atomically
from eefcore.storage.hashing import cache_folder
from eefcore.types import Value

PACKAGE = Path(eefcore.__file__).parent
INFRASTRUCTURE = ("eefcore.runs", "eefcore.tracking", "eefcore.cli")
"""Packages that run and record stages. Their imports are not followed."""

PRESENTATION = ("eefcore.figures", "eefcore.reports")
"""Packages that show results. A stage whose figure would look another way now is not computed again for that."""

REPORTS = ("report", "suite")
"""The notebooks, by their names without the number, whose results are figures and tables."""

_DIGITS = 12
_PLUGIN = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]\w*")


class _Source(msgspec.Struct, frozen=True):
    """What one version of a file says: the hash of its code, and the names that it imports."""

    code: str
    imports: tuple[str, ...]


def code_of(notebook: str, params: Mapping[str, Value]) -> dict[str, str]:
    """Return the hash of each module that the results of a stage follow from, by its name, and of the notebook's cells.

    A notebook that the workspace does not have has no code.
    """
    path = stages.workspace() / "notebooks" / f"{notebook}.ipynb"
    if not path.is_file():
        return {}
    sources = _Sources.at(cache_folder() / "code.json")
    cells = sources.read(path)
    found = {notebook: cells.code}
    waiting = {module for name in (*cells.imports, *_named_by(params)) for module in _modules(name, sources)}
    for plugin in _plugins(params):
        source = sources.read(plugin)
        found[plugin.stem] = source.code
        waiting |= {module for name in source.imports for module in _modules(name, sources)}
    left_out = INFRASTRUCTURE + (() if notebook.partition("_")[2] in REPORTS else PRESENTATION)
    while waiting:
        module = waiting.pop()
        if module in found or module.startswith(left_out):
            continue
        source = sources.read(_file(module))
        found[module] = source.code
        waiting |= {imported for name in source.imports for imported in _modules(name, sources)}
    sources.save()
    return dict(sorted(found.items()))


def _named_by(params: Mapping[str, Value]) -> Iterator[str]:
    """Yield the modules that the registry of environments names as strings for the stage's benchmark."""
    benchmark = str(params.get("benchmark", ""))
    if entry := ENTRIES.get(benchmark.removesuffix(SUFFIX)):
        yield entry.loader.partition(":")[0]
        yield entry.composite_experts if benchmark.endswith(SUFFIX) else entry.experts


def _plugins(params: Mapping[str, Value]) -> Iterator[Path]:
    """Yield the files of the user's own modules that parameters name as `my_module:function`.

    They are looked for where every process of a run looks alike, not in the working folder of one of them.
    """
    workspace = stages.workspace()
    roots = [workspace / "notebooks", workspace]
    roots += [Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    for value in params.values():
        named = _PLUGIN.fullmatch(value) if isinstance(value, str) else None
        if named and not named[1].startswith("eefcore."):
            stem = named[1].replace(".", "/")
            files = (root / f"{stem}{end}" for root in roots for end in (".py", "/__init__.py"))
            with suppress(StopIteration):
                yield next(file for file in files if file.is_file())


@cache
def _file(module: str) -> Path | None:
    """Return the file of a module of the package; None if there is no such module."""
    stem = PACKAGE.parent.joinpath(*module.split("."))
    return next((f for f in (stem.with_suffix(".py"), stem / "__init__.py") if f.is_file()), None)


def _modules(name: str, sources: _Sources) -> set[str]:
    """Return the modules that an imported name leads to: `eefcore.training.train_sft` to `eefcore.training.sft`."""
    if not name.startswith("eefcore."):
        return set()
    file = _file(name)
    if file and file.name != "__init__.py":
        return {name}
    if file:  # a package that is used as an object, `envs.load`: all that it exports
        exported = {m for export in _exports(file, sources).values() for m in _modules(export, sources)}
        return {name, *exported}
    package, _, attribute = name.rpartition(".")
    home = _file(package)
    if home is None:
        return _modules(package, sources)
    exports = _exports(home, sources) if home.name == "__init__.py" else {}
    return _modules(exports[attribute], sources) if attribute in exports else {package}


def _exports(init: Path, sources: _Sources) -> dict[str, str]:
    """Return the full names of what a package exports, by their short names; a lazy package has a stub beside it."""
    stub = init.with_suffix(".pyi")
    names = sources.read(stub if stub.is_file() else init).imports
    return {name.rpartition(".")[2]: name for name in names if name.startswith("eefcore.")}


class _Sources:
    """Files that were read before, by a hash of their bytes: parsing the whole package takes a second."""

    def __init__(self, path: Path) -> None:
        self._path, self._new = path, False
        self._by_bytes: dict[str, _Source] = {}
        with suppress(OSError, msgspec.DecodeError):
            self._by_bytes = msgspec.json.decode(path.read_bytes(), type=dict[str, _Source])

    @classmethod
    @cache
    def at(cls, path: Path) -> _Sources:
        return cls(path)

    def read(self, path: Path | None) -> _Source:
        if path is None:
            return _Source("", ())
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
    if path.suffix == ".ipynb":
        cells = [
            "".join(cell["source"])
            for cell in json.loads(text)["cells"]
            if cell["cell_type"] == "code" and "parameters" not in cell.get("metadata", {}).get("tags", ())
        ]
        text = "\n".join(cells)
    package = where.rpartition("/")[0].replace("/", ".")
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a cell with a magic in it: its text, and no imports
        return _Source(_hash(text), ())
    imports = tuple(dict.fromkeys(_imports(tree, package)))
    _drop_docstrings(tree)
    return _Source(_hash(ast.dump(tree)), imports)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = f".{node.module}" if node.module else ""
            module = (
                importlib.util.resolve_name("." * node.level + base[1:], package) if node.level else base[1:]
            )
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _drop_docstrings(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [s for s in node.body if not _is_text(s)] or [ast.Pass()]


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a text alone: a docstring, or one beneath a constant."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
