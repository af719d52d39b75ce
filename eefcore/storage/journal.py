"""Long work, kept chunk by chunk, so that a rerun continues where a killed one stopped.

    {"eefcore": 1, "kind": "journal", "fingerprint": …}
    record
    record
    {"end_of_chunk": 0, "records": 2}
    …

An episode's numbers may depend on those it is batched with, so the unit of a resume is a chunk of
fixed composition, and not an episode: with it a rerun is equal to the bit on one machine.
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
    """The first line: whose work this is."""

    eefcore: int = SCHEMA
    kind: str = "journal"
    fingerprint: str


class ChunkEnd(msgspec.Struct, frozen=True):
    """The line that makes the records before it count."""

    end_of_chunk: int
    records: int


_END = b'{"end_of_chunk":'


class Journal(Generic[R]):
    """Records of type `R` at `path`, made in chunks; one process at a time.

    `fingerprint` stands for what the records depend on beside the items of the work. A stage's own
    folder is named after its parameters and inputs, so inside one it may be left out.
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
        """The records of `work(items[0:chunk]), work(items[chunk:2·chunk]), …`, each chunk worked once.

        Chunks that an earlier, killed run finished are read, not worked; `on_resume` hears of how many
        items that is. At any instant a kill costs the chunk in flight and nothing else.

        Raises:
            StoreError: the journal is of other work; a kept record does not decode; no space to go on.
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
        """The complete chunks; what a kill left of another is cut off."""
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
        ours = JournalHeader(fingerprint=fingerprint)
        if header != ours:
            raise StoreError(
                f"{self.path}:1: the journal of other work: expected {ours}, got {header}; the items, the chunk "
                "or the parameters changed since. Move it away to do the work anew, or go back to what it was"
            )

    def _complete(self, size: int, lines: list[bytes]) -> _Kept[R]:
        records: list[R] = []
        pending: list[R] = []
        chunks, seen, last = 0, size, _last_end(lines)
        for number, line in enumerate(lines[: last + 1], start=2):
            where, seen = f"{self.path}:{number}", seen + len(line)
            if not line.startswith(_END):
                pending.append(self._lines.decode(line, where))
                continue
            end = LineCodec[ChunkEnd](ChunkEnd).decode(line, where)
            if end != ChunkEnd(chunks, len(pending)):
                raise StoreError(
                    f"{where}: expected the end of chunk {chunks} after {len(pending)} records, got {end}; "
                    "lines are missing or doubled. Move the journal away to do its work again"
                )
            records, pending, chunks, size = records + pending, [], chunks + 1, seen
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
    """Where the last whole end of a chunk is; -1 if nowhere."""
    ends = [i for i, line in enumerate(lines) if line.startswith(_END) and line.endswith(b"\n")]
    return ends[-1] if ends else -1


def _fingerprint(given: str, chunk: int, items: Sequence[Any]) -> str:
    """Eight bytes of the hash of all that the records depend on, in hex."""
    return hashlib.sha256(msgspec.json.encode([given, chunk, list(items)])).hexdigest()[:16]
