"""What files hold, as a hash: how data and models are known, wherever they lie and whatever they are called.

A file is read once a process; of a large one, a note of its path, size and times spares others the reading.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec

LARGE = 1 << 26  # bytes of a file that isn't read at each start


def cache_folder() -> Path:
    """Where built catalogues, generated shops and notes are kept: `$EEF_CACHE`, or the user's cache."""
    return Path(os.environ.get("EEF_CACHE") or Path.home() / ".cache" / "eefcore")


def digest(*texts: str) -> str:
    """A hash of `texts`, 64 hex digits."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def hash_file(path: Path, notes: Path) -> str:
    """A hash of a file's bytes; `notes` is the folder of notes.

    Raises:
        OSError: it can't be read.
    """
    real = path.resolve()
    with open(real, "rb") as file:
        stat = os.fstat(file.fileno())
        now = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if found := _seen.get((real, *now)):
            return found
        note = notes / digest(str(real))[:16]
        if stat.st_size >= LARGE:
            with suppress(OSError, msgspec.DecodeError):
                known = msgspec.json.decode(note.read_bytes(), type=_Seen)
                if (known.size, known.modified, known.changed) == now:
                    return known.content
        found = _seen[real, *now] = hashlib.file_digest(file, "sha256").hexdigest()
    if stat.st_size >= LARGE:
        with suppress(OSError):  # a note that isn't kept costs time and nothing else
            notes.mkdir(parents=True, exist_ok=True)
            note.write_bytes(msgspec.json.encode(_Seen(*now, found)))
    return found


def hash_folder(folder: Path) -> str:
    """A hash of the names and bytes of all files in `folder`, those in its folders included.

    Raises:
        OSError: one can't be read.
    """
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    notes = cache_folder() / "seen"
    return digest(*(text for name in files for text in (name, hash_file(folder / name, notes))))


_seen: dict[tuple[Path, int, int, int], str] = {}


class _Seen(msgspec.Struct):
    """A file as it was when its content was hashed."""

    size: int
    modified: int
    changed: int
    content: str
