"""Make text well formed: a lone half of a surrogate pair is no character, and no file, tokenizer or socket takes it."""

from __future__ import annotations

from typing import Any


def well_formed(text: str) -> str:
    r"""Return `text` with each lone surrogate replaced by U+FFFD; two that belong together become their character.

    JSON can spell half of an emoji (`"\ud83d"`), and Python reads it. Well-formed text is returned as it is.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def all_well_formed(value: Any) -> Any:
    """Return `value`, made of dicts, lists, text and numbers, with all its text well formed."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, dict):
        return {well_formed(key): all_well_formed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [all_well_formed(item) for item in value]
    return value
