"""What a stage notebook declares: the parameters of its cell tagged `parameters`, in their order.

    tasks: int = 40  # training tasks the expert tries

One line a parameter: name, type (`int`, `float`, `str` or `bool`), default, and a comment of help. That
line is the only declaration of a knob; params files, `eef run --dry-run` and records all read it from here. A parameter
whose help says what `None` means takes None as well (`null` in YAML); papermill's own reader knows no `int | None`.

Nothing is executed and papermill is not loaded: the cell is parsed. A line that papermill would lose
without a word (it has a second `=`, or is wrapped) raises ParamsError.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from eefcore.errors import ParamsError
from eefcore.types import Value

_NUMBERED = "[0-9]*_*.ipynb"

TYPES: Mapping[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


class Parameter(NamedTuple):
    """One line of a parameters cell."""

    name: str
    type: str
    default: Value
    help: str

    @property
    def optional(self) -> bool:
        """Whether None is a value of it, which its help explains."""
        return re.search(r"\bNone\b", self.help) is not None

    def read(self, value: object) -> Value:
        """Return `value` as this parameter's type; a whole number is a float where a float is asked for.

        Raises:
            TypeError: anything else, with what to write instead.
        """
        if value is None and self.optional:
            return None
        if self.type == "float" and type(value) is int:
            return float(value)
        if not isinstance(value, int | float | str) or type(value) is not TYPES[self.type]:
            raise TypeError(
                f"must be {self.type}, got {type(value).__name__} {value!r}{self._instead(value)}"
            )
        return value

    def _instead(self, value: object) -> str:
        """Return what to write instead; YAML 1.1 reads a number as text unless it has a dot and a signed exponent."""
        if self.type == "str":
            return f'; write "{value}" in quotes'
        if self.type != "float" or not isinstance(value, str):
            return ""
        try:
            float(value)
        except ValueError:
            return ""
        mantissa, _, exponent = value.lower().partition("e")
        if not exponent:
            return f"; write {value} without quotes"
        return f"; write {mantissa}{'' if '.' in mantissa else '.0'}e{int(exponent):+d}"


class Notebook(NamedTuple):
    """A notebook file and what it declares."""

    path: Path
    parameters: Mapping[str, Parameter]

    @property
    def name(self) -> str:
        """Return the notebook's name, `05_explore`."""
        return self.path.stem

    @property
    def stage(self) -> str:
        """Return the name without the number, `explore`, as params files write it."""
        return self.name.partition("_")[2]


def read_notebooks(folder: Path) -> dict[str, Notebook]:
    """Return the numbered notebooks of `folder` by their names without the number."""
    found = [read_notebook(path) for path in sorted(folder.glob(_NUMBERED))]
    if not found:
        raise ParamsError(f"{folder}: no notebook named like 05_explore.ipynb; is this the notebooks folder?")
    return {notebook.stage: notebook for notebook in found}


def own_notebook(folder: Path, name: str) -> Notebook:
    """Return the numbered notebook of `folder` whose file is called exactly `name`.ipynb.

    A name may come from the record of a results folder that others made, so it is compared with the files that are
    there and never joined to a path.

    Raises:
        ParamsError: `folder` has no such notebook.
    """
    for path in folder.glob(_NUMBERED):
        if path.name == f"{name}.ipynb":
            return read_notebook(path)
    raise ParamsError(
        f"{name!r} names no notebook of {folder}: expected the exact name of one of its numbered notebooks, such as "
        "05_explore; if a record names it, that results folder was not made by this workspace: don't run it"
    )


def read_notebook(path: Path) -> Notebook:
    """Return a notebook with the parameters that it declares; one without a parameters cell declares none."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ParamsError(f"{path}: not a notebook ({error})") from error
    tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", ())]
    if len(tagged) > 1:
        raise ParamsError(f"{path}: {len(tagged)} cells are tagged `parameters`; papermill reads one")
    source = "".join(tagged[0]["source"]) if tagged else ""
    parameters = [_parameter(path, source, line) for line in _lines(path, source)]
    return Notebook(path, {p.name: p for p in parameters})


def modules(notebook: Notebook) -> set[str]:
    """Return what the cells of a notebook import: of `from a import b` both `a` and `a.b`, which may be a module."""
    cells = json.loads(notebook.path.read_text(encoding="utf-8"))["cells"]
    found: set[str] = set()
    for cell in cells:
        if cell["cell_type"] == "code":
            with suppress(SyntaxError):  # a cell with a magic in it
                for node in ast.walk(ast.parse("".join(cell["source"]))):
                    if isinstance(node, ast.Import):
                        found |= {alias.name for alias in node.names}
                    elif isinstance(node, ast.ImportFrom) and node.module:
                        found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _lines(path: Path, source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError as error:
        raise ParamsError(f"{path}: the parameters cell, line {error.lineno}: {error.msg}") from error


def _parameter(path: Path, source: str, line: ast.stmt) -> Parameter:
    text = (ast.get_source_segment(source, line) or "").splitlines()[0]
    where = f"{path.name}: the parameters cell, line {line.lineno}, `{text}`"
    match line:
        case ast.AnnAssign(
            target=ast.Name(id=name), annotation=ast.Name(id=kind), value=ast.expr() as default
        ):
            pass
        case _:
            raise ParamsError(f"{where}: write one `name: type = default  # help` a line")
    if kind not in TYPES:
        raise ParamsError(f"{where}: type {kind} is none of {', '.join(TYPES)}")
    comment = _comments(source).get(line.lineno, "")
    if not comment or line.end_lineno != line.lineno:
        raise ParamsError(f"{where}: a parameter is one line and ends in a comment of help")
    if "=" in comment or "=" in ast.unparse(default):
        raise ParamsError(f"{where}: papermill loses a parameter with a second `=` on its line")
    try:
        value = Parameter(name, kind, "", comment).read(ast.literal_eval(default))
    except (TypeError, ValueError) as error:
        raise ParamsError(f"{where}: the default {error}") from error
    return Parameter(name, kind, value, comment)


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
