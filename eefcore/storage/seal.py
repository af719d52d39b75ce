"""Seal a JSON object with a hash of itself, so that damage is found where it is read.

    {"label": "train#1", …, "seal": "9f86d081884c7d65"}

The hash is of the content and not of its bytes: another indent is no damage.
"""

from __future__ import annotations

from typing import Any

import msgspec

from eefcore.errors import UNDECODABLE, StoreError
from eefcore.storage.hashing import digest

SEAL = "seal"


def sealed(content: Any) -> dict[str, Any]:
    """Return a struct, or a mapping, as a JSON object with its seal."""
    plain = msgspec.to_builtins(content)
    return {**plain, SEAL: _seal(plain)}


def unsealed(data: bytes, where: str, *, required: bool) -> dict[str, Any]:
    """Return the object that `data` holds, without its seal.

    Args:
        where: the file, or file:line, that an error names.
        required: refuse an object without a seal; records of earlier versions have none.

    Raises:
        StoreError: it is no JSON object, or not the one that was sealed.
    """
    try:
        content = msgspec.json.decode(data, type=dict[str, Any])
    except UNDECODABLE as error:
        raise StoreError(f"{where}: expected a JSON object, got {data[:60]!r} ({error})") from error
    seal = content.pop(SEAL, None)
    if seal is None and not required:
        return content
    if seal != (expected := _seal(content)):
        raise StoreError(f"{where}: damaged: expected the seal {expected} of its content, got {seal}")
    return content


def _seal(plain: dict[str, Any]) -> str:
    return digest(msgspec.json.encode(plain).decode())[:16]
