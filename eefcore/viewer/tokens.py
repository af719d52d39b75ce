"""Read token ids as text: the pieces of the vocabulary of a model's folder that a page shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eefcore.storage.hashing import digest


class Vocabulary:
    """The pieces of text that token ids stand for. `pieces` holds those that were asked for, each by its number."""

    def __init__(self, key: str, tokenizer: Any) -> None:
        self.key, self._tokenizer = key, tokenizer
        self.pieces: list[str] = []
        self._numbers: dict[int, int] = {}

    def piece(self, token: int) -> int:
        """Return the number of the piece of a token id."""
        if token not in self._numbers:
            self._numbers[token] = len(self.pieces)
            self.pieces.append(self._read(token))
        return self._numbers[token]

    def _read(self, token: int) -> str:
        """Return the text of a token as it stands after another: some decoders drop the blank before the first."""
        try:
            once, twice = (
                self._tokenizer.decode(ids, skip_special_tokens=False) for ids in ([token], [token, token])
            )
        except OverflowError:  # no id of any vocabulary
            return f"<{token}>"
        return twice[len(once) :] if twice.startswith(once) else once


def find_vocabulary(model: Path) -> Vocabulary | None:
    """Return the vocabulary of the model in a folder; None if it has none that can be read, which costs only the pieces."""
    from tokenizers import Tokenizer

    try:
        text = (model / "tokenizer.json").read_text(encoding="utf-8")
        return Vocabulary(digest(text), Tokenizer.from_str(text))
    except Exception:  # the package raises plain ones of a damaged file
        return None
