"""Hash the content of files and folders, so that data and models are recognized wherever they lie.

A file is read once per process. Of a large file, a note with its path, size and times saves other processes the reading.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from eefcore.errors import UNDECODABLE

LARGE = 1 << 26  # bytes; a larger file is not read again by each process
RECENT = 1_000_000_000  # nanoseconds; a file that changed so lately may change again and have the same times


def cache_folder() -> Path:
    """Return the folder of built catalogues, generated shops and notes: `$EEF_CACHE`, or the user's cache."""
    return Path(os.environ.get("EEF_CACHE") or Path.home() / ".cache" / "eefcore")


def digest(*texts: str) -> str:
    """Return the SHA-256 of `texts`, 64 hex digits."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def hash_file(path: Path, notes: Path) -> str:
    """Return the SHA-256 of a file's bytes; `notes` is the folder of notes on large files.

    Raises:
        OSError: the file can't be read.
    """
    real = path.resolve()
    with open(real, "rb") as file:
        stat = os.fstat(file.fileno())
        now = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if not 0 <= time.time_ns() - stat.st_ctime_ns < RECENT and (content := _hashes.get((real, *now))):
            return content
        note = notes / digest(str(real))[:16]
        if stat.st_size >= LARGE:
            with suppress(OSError, *UNDECODABLE):
                noted, content = msgspec.json.decode(note.read_bytes(), type=tuple[tuple[int, ...], str])
                if noted == now:
                    return content
        content = _hashes[real, *now] = hashlib.file_digest(file, "sha256").hexdigest()
    if stat.st_size >= LARGE:
        with suppress(OSError):  # without a note, the next process reads the file again
            notes.mkdir(parents=True, exist_ok=True)
            note.write_bytes(msgspec.json.encode((now, content)))
    return content


def hash_again(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as they are on the disk now, whatever was noted of it.

    Raises:
        OSError: the file can't be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_folder(folder: Path, *, without: str = "") -> str:
    """Return the SHA-256 of the names and bytes of all files in `folder`, subfolders included, but for those called `without`.

    Raises:
        OSError: a file can't be read.
    """
    files = sorted(
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != without
    )
    notes = cache_folder() / "seen"
    return digest(*(text for name in files for text in (name, hash_file(folder / name, notes))))


_hashes: dict[tuple[Path, int, int, int], str] = {}  # by path, size and times
