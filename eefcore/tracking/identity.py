"""The identity of a stage: one function for the plan, which looks for it, and for the stage, which takes it.

It is `store.identity`, but for a model that a parameter names. That is known by what its folder holds: `tiny` is another
base once `make base` has made it anew, and a folder that is moved is the same one. A hub name is its name
alone; name a revision's folder where that may change.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eefcore import policies
from eefcore.storage import stages
from eefcore.storage.disk import explain_os_errors
from eefcore.storage.hashing import hash_folder
from eefcore.types import Value
from eefcore.variables import expand_variables

MODELS = ("base", "critic")
"""The parameters that name a model: what training starts from, and who ranks actions."""


def identity(notebook: str, params: Mapping[str, Value], inputs: Mapping[str, str]) -> str:
    """The hash of what a stage's result follows from; `inputs` are identities."""
    for name in MODELS:
        path = Path(policies.model_path(str(expand_variables(params.get(name) or ""))))
        if params.get(name) and path.is_dir():
            with explain_os_errors("read", path):
                inputs = {**inputs, f"{name} model": hash_folder(path)}
    return stages.stage_identity(notebook, params, inputs)
