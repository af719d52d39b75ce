"""Write and read files so that they are whole or absent.

All that eefcore keeps goes through here, so a full disk, a missing permission or a line that does not decode is
reported in one way: the place, what happened, what to do next.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import json
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from eefcore.errors import UNDECODABLE, StoreError
from eefcore.unicode import well_formed

R = TypeVar("R")

SCHEMA = 1
"""The version of the file format, in the first line of each file."""

_FULL = "free some space and run again; nothing half-written was kept"
_DENIED = "make the folder writable, or name another in EEF_RESULTS"
_ADVICE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: _DENIED,
    errno.ENOTDIR: "a file stands where a folder should be; " + _DENIED,
    errno.EEXIST: "a file or a broken link stands where a folder should be; move it away, or name another in EEF_RESULTS",
    errno.ENOENT: "run the stage that writes it first, or check the name",
}
_unique = count()


@contextmanager
def explain_os_errors(doing: str, path: Path) -> Generator[None]:
    """Turn an error of the system about `path` into a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "see the system's message")
        raise StoreError(f"{path}: can't {doing}: {error.strerror or error}; {advice}") from error


@contextmanager
def locked(lock: Path) -> Generator[None]:
    """Hold a lock, one process at a time; the system releases the lock of a process that dies."""
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_atomically(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write `data` to `path` in one step: after an error or a kill, the file is as it was before.

    `sync` waits for the disk; without it the file may be lost, but never torn, when the power fails.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_unique)}.tmp")
    with explain_os_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        if sync:
            sync_folder(path.parent)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as a CSV file with a line of headings."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def append_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Append `data` to `path`; an error leaves the file as it was, a kill may leave part of the last line."""
    with explain_os_errors("append", path), open(path, "ab", buffering=0) as file:
        before = file.tell()
        try:
            left = memoryview(data)
            while left:  # a system call may write less than it is given
                left = left[file.write(left) :]
            if sync:
                os.fsync(file.fileno())
        except BaseException:
            file.truncate(before)
            raise


def truncate(path: Path, size: int) -> None:
    """Cut `path` off after `size` bytes."""
    with explain_os_errors("write", path), open(path, "r+b") as file:
        file.truncate(size)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of `path`."""
    with explain_os_errors("read", path):
        return path.read_bytes()


class LineCodec(Generic[R]):
    """Encode records of one type as lines of JSON, and decode them; `where` is the file:line that an error names."""

    def __init__(self, type: Any) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(type)

    def encode(self, record: R, where: str) -> bytes:
        """Return `record` as a line; refuse one that can't be read back, such as an infinite log-likelihood."""
        try:
            try:
                line = self._encoder.encode(record)
            except UnicodeEncodeError:  # a lone surrogate, which no file can hold
                line = well_formed(json.dumps(msgspec.to_builtins(record), ensure_ascii=False)).encode()
            self._decoder.decode(line)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise StoreError(
                f"{where}: this {type(record).__name__} can't be kept: {error}; mend it where it is made"
            ) from error
        return line + b"\n"

    def decode(self, line: bytes, where: str) -> R:
        """Return the record that `line` holds."""
        try:
            return self._decoder.decode(line)
        except UNDECODABLE as error:
            raise StoreError(
                f"{where}: no record of the expected type: {error}; was the file edited, or written by another "
                "version? Move it away and run its stage again"
            ) from error
