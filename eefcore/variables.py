"""Environment variables that a text value of a params file names as `${NAME}`."""

from __future__ import annotations

import os
import re

from eefcore.types import Value


def expand_variables(value: Value) -> Value:
    """`value` with each `${NAME}` replaced by that environment variable."""
    return VARIABLE.sub(lambda m: os.environ[m[1]], value) if isinstance(value, str) else value


VARIABLE = re.compile(r"\$\{(\w+)\}")
