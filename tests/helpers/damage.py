"""Damage files as bad disks, torn copies and careless edits do."""

from __future__ import annotations

import random

NESTED = (b"[" * 20_000, b'{"a":' * 20_000)
INSERTED = (
    b"\0",
    b"\xff\xfe",
    b"NaN",
    b"null",
    b"1e999",
    b"\n",
    b"}",
    b'"',
    b"9" * 5000,
    "\ud800".encode("utf-8", "surrogatepass"),
)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with one damage, never `data` itself."""
    while (other := _damage(data, rng)) == data:
        pass
    return other


def _damage(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    until = min(len(data), at + rng.choice((1, 1, 2, 8, 512, 4096)))
    lines = data.splitlines(keepends=True) or [b""]
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(11):
        case 0:  # one bit
            at = min(at, max(len(data) - 1, 0))
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :] if data else b"x"
        case 1:  # torn
            return data[:at]
        case 2:  # a block of zeros, as after a loss of power
            return data[:at] + bytes(until - at) + data[until:]
        case 3:  # a piece is missing
            return data[:at] + data[until:]
        case 4:  # a line is missing
            return b"".join(lines[:i] + lines[i + 1 :])
        case 5:  # a line is doubled
            return b"".join([*lines[:i], lines[i], *lines[i:]])
        case 6:  # two lines are exchanged
            lines[i], lines[j] = lines[j], lines[i]
            return b"".join(lines)
        case 7:  # a digit is another
            digits = [k for k, byte in enumerate(data) if chr(byte).isdigit()] or [at]
            k = rng.choice(digits)
            return data[:k] + str(rng.randrange(10)).encode() + data[k + 1 :]
        case 8:
            return data[:at] + rng.choice(INSERTED) + data[at:]
        case 9:
            return data[:at] + rng.choice(NESTED) + data[until:]
        case _:  # a piece of the file in another place
            return data[:at] + data[rng.randrange(len(data) + 1) :][: until - at] + data[until:]
