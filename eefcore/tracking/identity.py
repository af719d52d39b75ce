"""Compute the identity of a stage: the hash of all that its results follow from.

These are the notebook's name, the stage's parameters, the identities of its inputs, the code that it runs
(`eefcore.tracking.code`), and the files of a model that a parameter names: `tiny` is another base once `make base` has
made it anew, and a folder that is moved is the same one. A hub name is its name alone; name a revision's folder where
that may change. The plan computes it to look for a finished stage, the stage to name its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eefcore.policies.loading import model_path
from eefcore.storage import stages
from eefcore.storage.disk import explain_os_errors
from eefcore.storage.hashing import hash_folder
from eefcore.tracking.code import code_of
from eefcore.types import Value
from eefcore.variables import expand_variables

MODELS = ("base", "critic")
"""The parameters that name a model: what training starts from, and what ranks actions."""


def identity(
    notebook: str,
    params: Mapping[str, Value],
    inputs: Mapping[str, str],
    code: Mapping[str, str] | None = None,
) -> str:
    """Return the identity of a stage, 64 hex digits.

    Args:
        notebook: its name, as `05_explore`.
        params: those that its result follows from, not expanded.
        inputs: the identity of each input by its name.
        code: the hash of each module (`code_of`); None: computed here.
    """
    code = code_of(notebook, params) if code is None else code
    followed = {**inputs, **{f"code of {name}": text for name, text in code.items()}}
    for name in MODELS:
        path = Path(model_path(str(expand_variables(params.get(name) or ""))))
        if params.get(name) and path.is_dir():
            with explain_os_errors("read", path):
                followed[f"{name} model"] = hash_folder(path)
    return stages.stage_identity(notebook, params, followed)
