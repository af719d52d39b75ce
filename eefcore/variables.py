"""Expand environment variables that a params file names as `${NAME}`."""

from __future__ import annotations

import os
import re

from eefcore.types import Value

VARIABLE = re.compile(r"\$\{(\w+)\}")


def expand_variables(value: Value) -> Value:
    """Return `value` with each `${NAME}` in a text replaced by that environment variable."""
    return VARIABLE.sub(lambda m: os.environ[m[1]], value) if isinstance(value, str) else value
