"""Write paths in parameters so that a record never holds a path of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from eefcore.storage import stages

PATHS = frozenset({"base", "critic", "start", "data", "file"})
"""The parameters that may hold a path, or several joined by ` + `; a model's may begin with `hf:` or `vllm:`."""

_HERE = frozenset({"PWD", "OLDPWD"})
_ABSOLUTE = re.compile(r"(?<![^\s:])(?:/|~/|~$)[^+]*[^+\s]|(?<![^\s:])~")


def portable(text: str) -> str:
    """Return `text` with each absolute path in it written from the workspace, or from an environment variable.

    Of several variables that hold a folder above a path, it is the one with the longest value, and `HOME` often is the
    only one. A path under none of them is written from the workspace as well, with `..`.
    """
    return text if "://" in text else _ABSOLUTE.sub(lambda match: _portable_path(match[0]), text)


def _portable_path(text: str) -> str:
    path, workspace = Path(os.path.normpath(Path(text).expanduser())), stages.workspace()
    if path.is_relative_to(workspace):
        return path.relative_to(workspace).as_posix()
    folders = {
        name: Path(value)
        for name, value in sorted(os.environ.items())
        if re.fullmatch(r"[A-Za-z]\w*", name)
        and name not in _HERE
        and value.startswith("/")
        and ":" not in value
    }
    above = [
        name for name, folder in folders.items() if len(folder.parts) > 1 and path.is_relative_to(folder)
    ]
    if not above:
        return Path(os.path.relpath(path, workspace)).as_posix()
    name = max(above, key=lambda name: len(folders[name].parts))
    rest = path.relative_to(folders[name]).as_posix()
    return f"${{{name}}}" if rest == "." else f"${{{name}}}/{rest}"
