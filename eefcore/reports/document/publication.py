"""Copy the text, tables and figures of a report out of its stage, small enough to commit, for a README to cite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eefcore.errors import StoreError
from eefcore.storage import stages
from eefcore.storage.disk import read_bytes, write_atomically
from eefcore.storage.outputs import check_outputs

PUBLISHED = ("report.md", "tables/*.csv", "figures/*.png", "figures/*.csv", "wins.csv", "cells.csv")
"""The small files of a report stage; SVG drawings are left out."""


def publish(run: str, stage: Path) -> Path:
    """Copy the small files of the finished report stage to results/published/<run>, replacing earlier ones, and return the folder.

    Raises:
        StoreError: a file is a link out of the stage, or is damaged.
    """
    check_outputs([stage])
    out = stages.run_folder(f"published/{run}")
    files = [path for pattern in PUBLISHED for path in stage.glob(pattern)]
    if linked := next((path for path in files if not _within(path, stage)), None):
        raise StoreError(
            f"{linked}: expected a file of the stage, got a link to a file outside of it, which would be published; remove "
            "the link, and ask where this results folder came from"
        )
    replace_files(out, {path.relative_to(stage).as_posix(): read_bytes(path) for path in sorted(files)})
    return out


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files`, by their names in `folder`, and remove what was published there before and is not among them."""
    for pattern in PUBLISHED:
        for old in folder.glob(pattern):
            if old.relative_to(folder).as_posix() not in files:
                old.unlink()
    for name, content in files.items():
        write_atomically(folder / name, content)


def _within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
