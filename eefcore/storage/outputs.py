"""Hash what a stage leaves in its folder, and find what was damaged since.

A stage's record holds the hash of each file (`StageRecord.outputs`). They are compared where another stage reads the
folder (`check_outputs`) and for a whole run by `eef verify` (`verify_run`). The executed notebook is no output: it is
kept after the stage has finished, and nothing reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from eefcore.errors import StoreError
from eefcore.storage import stages
from eefcore.storage.disk import explain_os_errors
from eefcore.storage.hashing import cache_folder, hash_again, hash_file

CHECKPOINTS = "checkpoints/"  # only a killed run needs them, so they may be deleted for their space
CARD = "/README.md"  # of a model, which may be written anew; nothing reads it
SHOWN = 3  # damaged files that an error names; `eef verify` prints all


class Damage(NamedTuple):
    """A file of a finished stage that is not what the stage wrote; `path` is seen from its folder."""

    path: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected[:12]}, got {self.got[:12]}"


class Verified(NamedTuple):
    """What `eef verify` found in the folder of one stage; `problem` is why its record can't be read."""

    folder: Path
    files: int
    damages: list[Damage]
    unknown: list[str]
    problem: str = ""


def hash_outputs(folder: Path) -> dict[str, str]:
    """Return the hash of each file that the stage in `folder` has written, by its path from there."""
    with explain_os_errors("read", folder):
        return {name: hash_file(folder / name, cache_folder() / "seen") for name in _names(folder)}


def check_outputs(folders: Iterable[Path]) -> list[Path]:
    """Check the files of finished stages that are about to be read, and return those whose records hold no hashes.

    Raises:
        StoreError: a file is damaged or missing, or a record can't be read.
    """
    unchecked = []
    for folder in folders:
        if (folder / stages.RECORD).is_file():  # else no stage: a folder that is known by its files
            outputs = stages.read_record(folder).outputs
            _refuse_damages(folder, outputs)
            if not outputs:
                unchecked.append(folder)
    return unchecked


def check_part(folder: Path) -> None:
    """Check the files of `folder` if it is part of a finished stage, as its `model` is.

    Raises:
        StoreError: a file is damaged or missing, or the stage's record can't be read.
    """
    if (folder.parent / stages.RECORD).is_file():
        outputs = stages.read_record(folder.parent).outputs
        own = {name: content for name, content in outputs.items() if name.startswith(f"{folder.name}/")}
        _refuse_damages(folder.parent, own)


def verify_run(run: str) -> Iterator[Verified]:
    """Read every file of a run's finished stages again, of a suite its seeds' as well, and yield what was found.

    Raises:
        StoreError: there is no finished stage.
    """
    folders = stages.finished_folders(run, below=True)
    if not folders:
        raise StoreError(
            f"{stages.run_folder(run)}: no finished stage; runs are named as in their params files"
        )
    for folder in folders:
        try:
            outputs = stages.read_record(folder).outputs
        except StoreError as error:
            yield Verified(folder, 0, [], [], str(error))
            continue
        unknown = [name for name in _names(folder) if name not in outputs] if outputs else []
        yield Verified(folder, len(outputs), _damages(folder, outputs, hash_again), unknown)


def _refuse_damages(folder: Path, outputs: dict[str, str]) -> None:
    notes = cache_folder() / "seen"
    if damages := _damages(folder, outputs, lambda path: hash_file(path, notes)):
        more = f" and {len(damages) - SHOWN} more" if len(damages) > SHOWN else ""
        raise StoreError(
            f"{folder}: the stage's files are damaged: {'; '.join(map(str, damages[:SHOWN]))}{more}; "
            "move this folder away and run again, and the stage is computed again, or copy it again"
        )


def _damages(folder: Path, outputs: dict[str, str], hash: Callable[[Path], str]) -> list[Damage]:
    found = []
    for name, expected in outputs.items():
        try:
            got = hash(folder / name)
        except OSError as error:
            got = error.strerror or str(error)
        if got != expected:
            found.append(Damage(name, expected, got))
    return found


def _names(folder: Path) -> list[str]:
    """Return the files of a stage, in order; left out are hidden ones, those of an attempt, checkpoints and models' cards."""
    left_out = {stages.RECORD, *stages.ATTEMPT_FILES}
    names = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    seen = (n.as_posix() for n in names if not any(part.startswith(".") for part in n.parts))
    return sorted(
        n for n in seen if n not in left_out and not n.startswith(CHECKPOINTS) and not n.endswith(CARD)
    )
