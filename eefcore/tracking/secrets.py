"""Recognize secrets, and refuse what would write one into a record, a notebook or W&B."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from eefcore.errors import ParamsError

LONG = 8  # characters; a shorter secret is looked for as a word of its own
SHORTEST = 4

_NAME = re.compile(
    r"(KEY|TOKEN|SECRET|PASS|PASSWORD|PASSWD|PASSPHRASE|_PWD|CREDENTIALS?)(_ID|_BASE)?_?\d*$", re.IGNORECASE
)
_CREDENTIALS = re.compile(  # user:password@ of any address, and a token@ of a web address, but for ${NAME}
    r"://[^/?#\s@]*:(?!\$\{\w+\}@)[^/?#\s@]+@|https?://(?!\$\{\w+\}@)[^/?#\s@:]+@", re.IGNORECASE
)


def refuse_secrets(values: Mapping[str, Any]) -> None:
    """Refuse values that hold a secret of the environment or the credentials of an address; the message shows neither.

    A variable is secret by its name: `OPENAI_API_KEY`, `openai_api_key`, `DB_PASS`. What it holds is looked for in all
    texts, below eight characters as a word of its own; plain words and numbers of that length are no secrets.

    Raises:
        ParamsError: the name of the value that holds one.
    """
    secrets = sorted({v.strip() for k, v in os.environ.items() if _NAME.search(k) and _is_secret(v.strip())})
    for name, value in values.items():
        for text in texts(value):
            if any(_holds(text, secret) for secret in secrets):
                raise ParamsError(f"parameter {name!r} holds a secret of the environment; leave it there")
            if _CREDENTIALS.search(text):
                raise ParamsError(
                    f"parameter {name!r} holds the credentials of an address; keep them in an environment variable, and "
                    "write ${NAME} in their place"
                )


def texts(value: Any) -> Iterator[str]:
    """Yield every piece of text in `value`, the names of mappings among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from texts([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts(part)


def _is_secret(value: str) -> bool:
    return len(value) >= LONG or (
        len(value) >= SHORTEST
        and not value.isalpha()
        and not value.isdigit()
        and any(map(str.isalnum, value))
    )


def _holds(text: str, secret: str) -> bool:
    if len(secret) >= LONG:
        return secret in text
    return re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text) is not None
