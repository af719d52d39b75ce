"""Write and read typed JSONL: a header with the records' type and environment, then one record a line.

{"eefcore": 1, "kind": "trajectories", "type": "Trajectory", "records": 2, "card": {…}}
{"history": …, "reward": 1.0}
{"history": …, "reward": 0.0}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from eefcore.errors import UNDECODABLE, CardMismatch, StoreError
from eefcore.storage import stages
from eefcore.storage.disk import SCHEMA, LineCodec, read_bytes, write_atomically
from eefcore.types import Card

R = TypeVar("R")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a file of records."""

    eefcore: int  # the version of the file format
    kind: str  # the kind of records in words, as trajectories
    type: str  # the name of their class; empty if there are none
    records: int  # the number of records that follow
    card: Card | None  # the environment that they were made in; None if unknown, as for imported data


class Records(NamedTuple, Generic[R]):
    """The header and the records of a file."""

    header: Header
    list: list[R]


def write_records(path: Path, records: Iterable[R], *, kind: str, card: Card | None) -> None:
    """Write `records` to `path`: all of them, or after an error none.

    Raises:
        StoreError: a record could not be read back, there is no space, or no permission.
    """
    kept = list(records)
    types = sorted({type(r).__name__ for r in kept})
    if len(types) > 1:
        raise StoreError(f"{path}: {', '.join(types)} in one file; write one file for each")
    header = Header(eefcore=SCHEMA, kind=kind, type="".join(types), records=len(kept), card=card)
    lines = [msgspec.json.encode(header) + b"\n"]
    if kept:
        codec = LineCodec[R](type(kept[0]))
        lines += [codec.encode(r, f"{path}:{n}") for n, r in enumerate(kept, start=2)]
    write_atomically(path, b"".join(lines))


def read_records(path: Path, type: type[R], *, card: Card | None = None) -> Records[R]:
    """Read the records of `path`, all of class `type`; with `card`, only those of that environment.

    Raises:
        StoreError: the file is not of eefcore, of another format or class, torn, or has a line that does not decode; or it
            lies in the folder of a stage and is not what the stage wrote.
        CardMismatch: the records were made in another environment: the catalogue, the goals or the interface differ.
    """
    data = read_bytes(path)
    _check_written(path, data)
    first, *lines = data.splitlines(keepends=True) or [b""]
    header = _header(path, first)
    if header.type not in ("", type.__name__):
        raise StoreError(
            f"{path}:1: expected {type.__name__} records, got {header.type} ({header.kind!r}); "
            "was another file meant?"
        )
    if card is not None:
        _same_card(path, card, header.card)
    whole = sum(line.endswith(b"\n") for line in lines)
    if whole != header.records or whole != len(lines):
        raise StoreError(
            f"{path}:{len(lines) + 1}: torn: expected {header.records} whole records, got {whole}; "
            "move it away and run its stage again, or copy it again"
        )
    codec = LineCodec[R](type)
    return Records(header, [codec.decode(line, f"{path}:{n}") for n, line in enumerate(lines, start=2)])


def read_header(path: Path) -> Header:
    """Return the first line of a file of records.

    Raises:
        StoreError: the file is not of eefcore, or of another format.
    """
    first, *_ = read_bytes(path).splitlines(keepends=True) or [b""]
    return _header(path, first)


def _header(path: Path, line: bytes) -> Header:
    try:
        version = msgspec.json.decode(line, type=dict[str, Any])["eefcore"]
    except (*UNDECODABLE, KeyError) as error:
        raise StoreError(
            f'{path}:1: not an eefcore file: expected a header {{"eefcore": {SCHEMA}, …}}, got {line[:60]!r}; '
            "import foreign data with `eef data import`"
        ) from error
    if version != SCHEMA:
        raise StoreError(
            f"{path}:1: expected schema {SCHEMA}, got {version}; read it with the eefcore that wrote it, "
            "or run its stage again"
        )
    return LineCodec[Header](Header).decode(line, f"{path}:1")


def _check_written(path: Path, data: bytes) -> None:
    """Refuse a file of a finished stage whose bytes have another hash than in the stage's record."""
    if not (path.parent / stages.RECORD).is_file():
        return
    expected, got = stages.read_record(path.parent).outputs.get(path.name), hashlib.sha256(data).hexdigest()
    if expected not in (None, got):
        raise StoreError(
            f"{path}: damaged: expected {expected[:12]}, as its stage wrote it, got {got[:12]}; move the stage's folder away "
            "and run again, or copy it again"
        )


def _same_card(path: Path, expected: Card, got: Card | None) -> None:
    if got is None:
        raise CardMismatch(
            f"{path}:1: expected records of {expected.name} {expected.key}, got some of an unknown environment; "
            "replay them in this one first"
        )
    if got.key != expected.key:
        differ = expected.differences(got).items()
        facts = "; ".join(f"{k}: expected {mine!r}, got {theirs!r}" for k, (mine, theirs) in differ)
        raise CardMismatch(
            f"{path}:1: made in another environment ({facts}); go back to the data it was made with, "
            "or make it again with the present one"
        )
