"""Split a JSON list that is too large for memory into its elements, with a few array operations on a piece at a time.

Escapes are blanked first. In a piece of the list, the number of quotes so far tells which characters are inside a
string; outside of strings, the brackets so far give the depth; and elements end at commas of depth 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from eefcore.errors import DataError

PIECE = 1 << 24  # bytes read at a time
LONGEST = 1 << 27  # bytes in an element, at most; more mean a quote or a bracket that was never closed
_BLANK = b" \t\r\n"
_QUOTE, _COMMA, _OPEN, _CLOSE = range(1, 5)
_KIND = np.zeros(256, np.uint8)
_KIND[list(b'"')], _KIND[list(b",")], _KIND[list(b"[{")], _KIND[list(b"]}")] = _QUOTE, _COMMA, _OPEN, _CLOSE


def elements(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield the elements of the list in `file`, each as it is written there; whether they are JSON is not checked.

    Raises:
        DataError: the root is not a list, or the file ends before the list does, or goes on after it.
    """
    rest = file.read(PIECE).removeprefix(b"\xef\xbb\xbf").lstrip(_BLANK)
    if rest[:1] != b"[":
        got = f"begins with {rest[:20]!r}" if rest else "is empty"
        raise DataError(f"{name}: expected a JSON list of products, but it {got}; download or write it again")
    rest, number = rest[1:], 0
    while True:
        start = 0
        commas, list_end = _cuts(rest)
        for end in commas:
            yield rest[start:end]
            start, number = end + 1, number + 1
        if list_end is not None:
            break
        more = file.read(PIECE)
        if not more or len(rest) - start > LONGEST:
            what = "the file ends" if not more else f"{LONGEST >> 20} MiB go by"
            raise DataError(
                f"{name}: {what} inside product {number}: expected `]` after the last product, and every bracket and "
                "quote closed. The file is truncated or damaged; download or write it again"
            )
        rest = rest[start:] + more
    if number or rest[start:list_end].strip(_BLANK):
        yield rest[start:list_end]
    after = (rest[list_end + 1 :] + file.read(PIECE)).lstrip(_BLANK)
    if after:
        raise DataError(
            f"{name}: expected the end of the file after product {number}, got {after[:20]!r}; download or write it again"
        )


def _cuts(piece: bytes) -> tuple[list[int], int | None]:
    """Return where elements end in a piece that begins with one, and where the list ends, None if it does not."""
    plain = np.frombuffer(piece.replace(b"\\\\", b"__").replace(b'\\"', b"__"), np.uint8)
    places = np.flatnonzero(_KIND[plain])
    kinds = _KIND[plain[places]]
    outside = np.cumsum(kinds == _QUOTE) % 2 == 0
    places, kinds = places[outside], kinds[outside]
    depth = np.cumsum((kinds == _OPEN).astype(np.int64) - (kinds == _CLOSE))
    ends = np.flatnonzero(depth < 0)[:1]
    if len(ends):
        places, kinds, depth = places[: ends[0] + 1], kinds[: ends[0] + 1], depth[: ends[0] + 1]
    commas = places[(kinds == _COMMA) & (depth == 0)]
    return commas.tolist(), int(places[-1]) if len(ends) else None
