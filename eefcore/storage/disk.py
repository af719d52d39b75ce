"""Bytes on disk that are whole or not there, records as lines, and what to say when neither can be.

Everything that eefcore keeps goes through here, so that a full disk, a missing permission or a line
that no longer decodes is told in one way: the place, what happened, what to do next.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from eefcore.errors import StoreError
from eefcore.unicode import all_well_formed

R = TypeVar("R")

SCHEMA = 1
"""The version of our files, in the first line of each."""

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
    errno.ENOENT: "run the stage that writes it first, or check the name",
}
_unique = count()


@contextmanager
def explain_os_errors(doing: str, path: Path) -> Iterator[None]:
    """What the system refuses about `path` becomes a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "see the system's message")
        raise StoreError(f"{path}: can't {doing}: {error.strerror or error}; {advice}") from error


def write_atomically(path: Path, data: bytes, *, sync: bool = True) -> None:
    """`path` holds `data`, or what it held before: whatever happens, and whenever we are killed.

    `sync` waits for the disk; without it a file may be lost, never torn, when the power fails.
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


def append_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    """`path` ends in `data`, or is as it was; a kill may leave a part of it, which ends in no newline."""
    with explain_os_errors("append", path), open(path, "ab", buffering=0) as file:
        before = file.tell()
        try:
            left = memoryview(data)
            while left:  # a system call may take less than it is given
                left = left[file.write(left) :]
            if sync:
                os.fsync(file.fileno())
        except BaseException:
            file.truncate(before)
            raise


def truncate(path: Path, size: int) -> None:
    """`path` ends after `size` bytes."""
    with explain_os_errors("write", path), open(path, "r+b") as file:
        file.truncate(size)


def sync_folder(folder: Path) -> None:
    """Names made in `folder` until now survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_bytes(path: Path) -> bytes:
    """All of `path`."""
    with explain_os_errors("read", path):
        return path.read_bytes()


class LineCodec(Generic[R]):
    """Records of one type to lines of JSON and back; `where` is the file:line an error names."""

    def __init__(self, type: Any) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(type)

    def encode(self, record: R, where: str) -> bytes:
        """The line of `record`, tried.

        What could not be read back (an infinite log-likelihood, another type) is refused here, before it
        costs a run.
        """
        try:
            line = self._encode(record)
            self._decoder.decode(line)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise StoreError(
                f"{where}: this {type(record).__name__} can't be kept: {error}; mend it where it is made"
            ) from error
        return line + b"\n"

    def _encode(self, record: R) -> bytes:
        """Lone surrogates, which no file can hold, are replaced."""
        try:
            return self._encoder.encode(record)
        except UnicodeEncodeError:
            return self._encoder.encode(all_well_formed(msgspec.to_builtins(record)))

    def decode(self, line: bytes, where: str) -> R:
        """The record that `line` holds."""
        try:
            return self._decoder.decode(line)
        except (ValueError, msgspec.MsgspecError) as error:
            raise StoreError(
                f"{where}: no record of the expected type: {error}; was the file edited, or written by another "
                "version? Move it away and run its stage again"
            ) from error
