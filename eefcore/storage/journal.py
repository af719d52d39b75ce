"""Keep long work chunk by chunk, so that a rerun continues where a killed run stopped.

    {"eefcore": 1, "kind": "journal", "fingerprint": …}
    record
    record
    {"end_of_chunk": 0, "records": 2}
    …

The numbers of an episode may depend on the episodes it is batched with. So the unit of a resume is a chunk of fixed
composition and not an episode, which makes a rerun equal to the bit on one machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from eefcore.errors import StoreError
from eefcore.storage.disk import SCHEMA, LineCodec, append_bytes, read_bytes, truncate, write_atomically

Item = TypeVar("Item")
R = TypeVar("R")


class JournalHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a journal; its fingerprint says whose work the journal holds."""

    eefcore: int = SCHEMA
    kind: str = "journal"
    fingerprint: str


class ChunkEnd(msgspec.Struct, frozen=True):
    """The line that completes a chunk: only records before such a line count."""

    end_of_chunk: int
    records: int


_END = b'{"end_of_chunk":'


class Journal(Generic[R]):
    """A file of records of type `R` that are made in chunks, by one process at a time.

    `fingerprint` stands for what the records depend on besides the items of the work. The folder of a stage is named
    after its parameters and inputs, so a journal inside it needs none.
    """

    def __init__(self, path: Path, type: type[R], fingerprint: str = "") -> None:
        self.path, self.fingerprint = path, fingerprint
        self._lines: LineCodec[R] = LineCodec(type)

    def run(
        self,
        items: Sequence[Item],
        chunk: int,
        work: Callable[[Sequence[Item]], Sequence[R]],
        *,
        on_resume: Callable[[int], None] = lambda _: None,
    ) -> list[R]:
        """Return the records of `work(items[0:chunk]), work(items[chunk:2·chunk]), …`, each chunk worked once.

        Chunks that an earlier, killed run finished are read instead; `on_resume` is called with the number of their
        items. A kill costs at most the chunk at work.

        Raises:
            StoreError: the journal is of other work, a record does not decode, or there is no space to go on.
        """
        if chunk < 1:
            raise ValueError(f"{self.path.name}: chunks of {chunk} items")
        kept = self._reopen(_fingerprint(self.fingerprint, chunk, items))
        records = kept.records
        on_resume(min(kept.chunks * chunk, len(items)))
        for number, start in enumerate(range(0, len(items), chunk)):
            if number >= kept.chunks:
                made = list(work(items[start : start + chunk]))
                self._append(number, made)
                records += made
        return records

    def _reopen(self, fingerprint: str) -> _Kept[R]:
        """Return the complete chunks, and cut off what a kill left of another."""
        if not self.path.exists():
            write_atomically(self.path, msgspec.json.encode(JournalHeader(fingerprint=fingerprint)) + b"\n")
            return _Kept([], 0, 0)
        header, *lines = read_bytes(self.path).splitlines(keepends=True) or [b""]
        self._check(header, fingerprint)
        kept = self._complete(len(header), lines)
        truncate(self.path, kept.size)
        return kept

    def _check(self, line: bytes, fingerprint: str) -> None:
        header = LineCodec[JournalHeader](JournalHeader).decode(line, f"{self.path}:1")
        expected = JournalHeader(fingerprint=fingerprint)
        if header != expected:
            raise StoreError(
                f"{self.path}:1: the journal of other work: expected {expected}, got {header}; the items, the chunk "
                "or the parameters changed since. Move it away to do the work anew, or go back to what it was"
            )

    def _complete(self, size: int, lines: list[bytes]) -> _Kept[R]:
        records: list[R] = []
        pending: list[R] = []
        chunks, position, last = 0, size, _last_end(lines)
        for number, line in enumerate(lines[: last + 1], start=2):
            where, position = f"{self.path}:{number}", position + len(line)
            if not line.startswith(_END):
                pending.append(self._lines.decode(line, where))
                continue
            end = LineCodec[ChunkEnd](ChunkEnd).decode(line, where)
            if end != ChunkEnd(chunks, len(pending)):
                raise StoreError(
                    f"{where}: expected the end of chunk {chunks} after {len(pending)} records, got {end}; "
                    "lines are missing or doubled. Move the journal away to do its work again"
                )
            records, pending, chunks, size = records + pending, [], chunks + 1, position
        return _Kept(records, chunks, size)

    def _append(self, number: int, records: list[R]) -> None:
        lines = [
            self._lines.encode(r, f"{self.path}, chunk {number}, record {i}") for i, r in enumerate(records)
        ]
        lines.append(msgspec.json.encode(ChunkEnd(number, len(records))) + b"\n")
        append_bytes(self.path, b"".join(lines))


class _Kept(NamedTuple, Generic[R]):
    records: list[R]
    chunks: int
    size: int


def _last_end(lines: list[bytes]) -> int:
    """Return the index of the last complete end of a chunk; -1 if there is none."""
    ends = [i for i, line in enumerate(lines) if line.startswith(_END) and line.endswith(b"\n")]
    return ends[-1] if ends else -1


def _fingerprint(dependencies: str, chunk: int, items: Sequence[Any]) -> str:
    """Return eight bytes of the hash of all that the records depend on, in hex."""
    return hashlib.sha256(msgspec.json.encode([dependencies, chunk, list(items)])).hexdigest()[:16]
