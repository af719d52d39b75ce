"""Keep the records of long work chunk by chunk, so that a rerun continues where a killed run stopped.

    {"eefcore": 1, "kind": "journal", "fingerprint": …}
    record
    record
    {"end_of_chunk": 0, "records": 2, "hash": …}
    …

The numbers of an episode may depend on the episodes in its batch. So a rerun resumes after whole chunks of fixed
composition, and is equal to the bit on one machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

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
    hash: str = ""  # of the lines of its records; empty in older journals


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
        chunks = self._reopen(_fingerprint(self.fingerprint, chunk, items))
        on_resume(min(len(chunks) * chunk, len(items)))
        for start in range(len(chunks) * chunk, len(items), chunk):
            records = list(work(items[start : start + chunk]))
            self._append(len(chunks), records)
            chunks.append(records)
        return [*chain.from_iterable(chunks)]

    def _reopen(self, fingerprint: str) -> list[list[R]]:
        """Return the complete chunks, and cut off what a kill left of another."""
        expected = JournalHeader(fingerprint=fingerprint)
        if not self.path.exists():
            write_atomically(self.path, msgspec.json.encode(expected) + b"\n")
            return []
        first, *lines = read_bytes(self.path).splitlines(keepends=True) or [b""]
        header = LineCodec[JournalHeader](JournalHeader).decode(first, f"{self.path}:1")
        if header != expected:
            raise StoreError(
                f"{self.path}:1: the journal of other work: expected {expected}, got {header}; the items, the chunk "
                "or the parameters changed since. Move it away to do the work anew, or go back to what it was"
            )
        ends = [i for i, line in enumerate(lines, 1) if line.startswith(_END) and line.endswith(b"\n")]
        complete = lines[: ends[-1]] if ends else []
        chunks = self._decode_chunks(complete)
        truncate(self.path, sum(map(len, (first, *complete))))
        return chunks

    def _decode_chunks(self, lines: list[bytes]) -> list[list[R]]:
        chunks: list[list[R]] = []
        records: list[R] = []
        kept: list[bytes] = []
        for number, line in enumerate(lines, start=2):
            where = f"{self.path}:{number}"
            if not line.startswith(_END):
                records.append(self._lines.decode(line, where))
                kept.append(line)
                continue
            end = LineCodec[ChunkEnd](ChunkEnd).decode(line, where)
            expected = _end_of(len(chunks), kept)
            if end not in (expected, ChunkEnd(expected.end_of_chunk, expected.records)):
                raise StoreError(
                    f"{where}: expected the end of chunk {len(chunks)} after {len(records)} records of hash "
                    f"{expected.hash}, got {end}; lines are damaged, missing or doubled. Move the journal away to do its "
                    "work again"
                )
            chunks.append(records)
            records, kept = [], []
        return chunks

    def _append(self, number: int, records: list[R]) -> None:
        lines = [
            self._lines.encode(r, f"{self.path}, chunk {number}, record {i}") for i, r in enumerate(records)
        ]
        lines.append(msgspec.json.encode(_end_of(number, lines)) + b"\n")
        append_bytes(self.path, b"".join(lines))


def _end_of(number: int, lines: list[bytes]) -> ChunkEnd:
    """Return the line that ends chunk `number` of these lines."""
    return ChunkEnd(number, len(lines), hashlib.sha256(b"".join(lines)).hexdigest()[:16])


def _fingerprint(dependencies: str, chunk: int, items: Sequence[Any]) -> str:
    """Return eight bytes of the hash of all that the records depend on, in hex."""
    return hashlib.sha256(msgspec.json.encode([dependencies, chunk, list(items)])).hexdigest()[:16]
