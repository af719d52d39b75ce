"""What a record says about how it was made, and what it must never say."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from eefcore.errors import ParamsError

PACKAGES = ("eefcore", "torch", "transformers")
"""Beside Python, what may move a number."""

_ABSOLUTE = re.compile(r"/|~|[A-Za-z]:[\\/]|file:")
_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")


def packages() -> dict[str, str]:
    """Return the versions of Python and the packages that may move a number, without importing them."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def check_portable(params: Mapping[str, Any]) -> None:
    """Refuse a place on this machine, or a key of this user.

    Raises:
        ParamsError: a parameter holds an absolute path or the value of a secret environment variable.
    """
    secrets = {v for k, v in os.environ.items() if _SECRET.search(k) and len(v) >= 8}
    for name, value in params.items():
        for text in _texts(value):
            if any(secret in text for secret in secrets):
                raise ParamsError(f"parameter {name!r} holds a secret of the environment; leave it there")
            if _ABSOLUTE.match(text):
                raise ParamsError(
                    f"parameter {name!r} is an absolute path, {text!r}; expected one from the workspace, or "
                    "${NAME} for one that an environment variable holds"
                )


def _texts(value: Any) -> Iterator[str]:
    """Yield every piece of text in `value`."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
