"""Turn texts into search terms, and document lengths into one byte, as Lucene 8.11 does under pyserini 0.17.

`terms` is Anserini's `DefaultEnglishAnalyzer`: words (`wordbreak`), without possessive 's, in lower case, without 33
stop words, reduced to Porter's stem (`porter`). `length_codes` is Lucene's `SmallFloat.intToByte4`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from eefcore.envs.webshop.lucene.porter import stem
from eefcore.envs.webshop.lucene.wordbreak import words

STOP_WORDS = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no",
    "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to",
    "was", "will", "with",
))  # fmt: skip

_EXACT = 24  # lengths below are their own code; of what is above it, 4 significant bits are kept


def terms(text: str) -> list[str]:
    """Return the terms that `text` is searched and found by, in order, repetitions kept."""
    return [t for t in map(_cached_term, words(text)) if t is not None]


def term(word: str) -> str | None:
    """Return the term of one word of a text; None for a stop word."""
    if word[-2:-1] in ("'", "\u2019", "\uff07") and word[-1] in "sS":
        word = word[:-2]
    word = word.lower() if word.isascii() else _lower(word)
    if word in STOP_WORDS:
        return None
    return stem(word) if max(word, default="") <= "\uffff" else _from_utf16(stem(_to_utf16(word)))


_cached_term = lru_cache(maxsize=1 << 16)(term)


def _lower(word: str) -> str:
    """Return Java's lower case, character by character: no final sigma, and İ is i."""
    return word.replace("\u0130", "i").replace("\u03a3", "\u03c3").lower()


def _to_utf16(word: str) -> str:
    """Return `word` in UTF-16 units, which are the letters of Lucene's stemmer."""
    return "".join(map(chr, np.frombuffer(word.encode("utf-16-le"), "<u2").tolist()))


def _from_utf16(units: str) -> str:
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _decode_length(code: int) -> int:
    """Return the length that a code stands for."""
    over = code - _EXACT
    if over < 8:
        return code
    return _EXACT + ((over & 7 | 8) << (over >> 3) - 1)


LENGTHS = np.array([_decode_length(code) for code in range(256)], np.int64)
"""The length of each code, [256]."""


def length_codes(lengths: np.ndarray) -> np.ndarray:
    """Return the one-byte codes of document lengths, rounded down to a length in `LENGTHS`, uint8 [N]."""
    return (np.searchsorted(LENGTHS, lengths, side="right") - 1).astype(np.uint8)
