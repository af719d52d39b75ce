"""Read the parameters that a stage notebook declares in its cell tagged `parameters`.

    tasks: int = 40  # training tasks the expert tries

One line a parameter: name, type (`int`, `float`, `str` or `bool`), default, and a comment of help; it is declared nowhere
else. The help may end in the values that are allowed (`eefcore.runs.ranges`). A parameter whose help says what `None`
means takes None as well (`null` in YAML); papermill knows no `int | None`.
One whose help says that it is read as YAML takes a mapping as well, which becomes its text.
The cell is parsed, not executed. A line that papermill would lose (it has a second `=`, or is wrapped) is an error.
"""

from __future__ import annotations

import ast
import io
import json
import re
import reprlib
import tokenize
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from eefcore.errors import UNDECODABLE, ParamsError
from eefcore.runs.paths import PATHS, portable
from eefcore.runs.ranges import read_range
from eefcore.tracking.identity import imported_names
from eefcore.types import Value
from eefcore.unicode import well_formed

_NUMBERED = "[0-9]*_*.ipynb"

LARGEST = 2**53
"""The largest number that every reader of JSON keeps exactly."""

TYPES: Mapping[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


class Parameter(NamedTuple):
    """One line of a parameters cell."""

    name: str
    type: str
    default: Value
    help: str

    @property
    def optional(self) -> bool:
        """Return whether the parameter may be None; then its help explains None."""
        return re.search(r"\bNone\b", self.help) is not None

    def read(self, value: object) -> Value:
        """Return `value` as this parameter's type; a whole number is a float where a float is asked for.

        Raises:
            TypeError: anything else, with what to write instead.
            ValueError: a value that the help does not allow, a number that is not finite, text that is no text.
        """
        if value is None and self.optional:
            return None
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise ValueError(f"must be a number of at most {LARGEST:.0e}, got {shorten(value)}")
        if self.type == "float" and type(value) is int:
            value = float(value)
        if isinstance(value, dict) and re.search(r"\bYAML\b", self.help):
            return json.dumps(value, sort_keys=True)
        if not isinstance(value, int | float | str) or type(value) is not TYPES[self.type]:
            advice = ""
            if self.type == "str":
                advice = f'; write "{shorten(value)}" in quotes'
            elif self.type == "float" and isinstance(value, str):
                advice = _advise_number(value)
            raise TypeError(f"must be {self.type}, got {type(value).__name__} {shorten(value)}{advice}")
        if isinstance(value, str) and ("\0" in value or well_formed(value) != value):
            raise ValueError(f"must be text, got {shorten(value)}, which holds what is no character")
        if value == "" and self.optional:
            raise ValueError("must be text or None, got ''; write null, or leave it out")
        if isinstance(value, str) and self.name in PATHS:
            return portable(value)
        if (refusal := read_range(self.help)) and (refused := refusal(value)):
            raise ValueError(f"must be {refused}{' Got' if '?' in refused else ', got'} {shorten(value)}")
        return value


def shorten(value: object) -> str:
    """Return `value` as a message shows it: a few lines of YAML can make a text of gigabytes."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 100
    try:
        return short.repr(value)
    except ValueError:
        return "a number of thousands of digits"


def _advise_number(text: str) -> str:
    """Say how to write a number that YAML 1.1 read as `text`: it wants a dot and a signed exponent."""
    try:
        float(text)
    except ValueError:
        return ""
    mantissa, _, exponent = text.lower().partition("e")
    if not exponent:
        return f"; write {text} without quotes"
    return f"; write {mantissa}{'' if '.' in mantissa else '.0'}e{int(exponent):+d}"


class Notebook(NamedTuple):
    """A notebook file and the parameters that it declares."""

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
    """Return the numbered notebook of `folder` whose file is called exactly `name`.ipynb, or raise ParamsError.

    A name may come from the record of a results folder that others made, so it is never joined to a path.
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
    tagged = [cell for cell in _cells(path) if "parameters" in cell.metadata.tags]
    if len(tagged) > 1:
        raise ParamsError(f"{path}: {len(tagged)} cells are tagged `parameters`; papermill reads one")
    source = tagged[0].text if tagged else ""
    try:
        lines = ast.parse(source).body
    except SyntaxError as error:
        raise ParamsError(f"{path}: the parameters cell, line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:  # a null byte, brackets a thousand deep
        raise ParamsError(f"{path}: the parameters cell is no Python: {error}") from error
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    parameters = [_parameter(path, source, line, comments) for line in lines]
    return Notebook(path, {p.name: p for p in parameters})


def modules(notebook: Notebook) -> set[str]:
    """Return the names that the cells of a notebook import: of `from a import b` it is `a.b`, which may be a module."""
    found: set[str] = set()
    for cell in _cells(notebook.path):
        if cell.cell_type == "code":
            # a cell with a magic in it, with a relative import, or damaged
            with suppress(SyntaxError, ImportError, ValueError, RecursionError, MemoryError):
                found |= {*imported_names(ast.parse(cell.text))}
    return found


class _Metadata(msgspec.Struct):
    tags: list[str] = []


class _Cell(msgspec.Struct):
    """A cell of a notebook's file, as far as it is read here."""

    cell_type: str
    source: str | list[str] = ""
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)

    @property
    def text(self) -> str:
        return "".join(self.source)


class _Content(msgspec.Struct):
    cells: list[_Cell]


def _cells(path: Path) -> list[_Cell]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Content).cells
    except (OSError, *UNDECODABLE) as error:
        raise ParamsError(
            f"{path}: not a notebook ({error}); go back to a version of it that JupyterLab opens"
        ) from error


def _parameter(path: Path, source: str, line: ast.stmt, comments: Mapping[int, str]) -> Parameter:
    def refuse(reason: str) -> ParamsError:
        text = (ast.get_source_segment(source, line) or "").splitlines()[0]
        return ParamsError(f"{path.name}: the parameters cell, line {line.lineno}, `{text}`: {reason}")

    match line:
        case ast.AnnAssign(
            target=ast.Name(id=name), annotation=ast.Name(id=kind), value=ast.expr() as default
        ):
            pass
        case _:
            raise refuse("write one `name: type = default  # help` a line")
    if kind not in TYPES:
        raise refuse(f"type {kind} is none of {', '.join(TYPES)}")
    comment = comments.get(line.lineno, "")
    if not comment or line.end_lineno != line.lineno:
        raise refuse("a parameter is one line and ends in a comment of help")
    if "=" in comment or "=" in ast.unparse(default):
        raise refuse("papermill loses a parameter with a second `=` on its line")
    try:
        read_range(comment)
        value = Parameter(name, kind, "", comment).read(ast.literal_eval(default))
    except (TypeError, ValueError) as error:
        raise refuse(f"the default {error}") from error
    return Parameter(name, kind, value, comment)
