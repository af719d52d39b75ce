"""Copy the text, tables and figures of a report out of its stage, small enough to commit, for a README to cite."""

from __future__ import annotations

from pathlib import Path

from eefcore.errors import StoreError
from eefcore.storage import stages
from eefcore.storage.disk import read_bytes, write_atomically

PUBLISHED = ("report.md", "tables/*.csv", "figures/*.png", "figures/*.csv")
"""The small files of a report stage; SVG drawings are left out."""


def publish(run: str, stage: Path) -> Path:
    """Copy the small files of the finished report stage to results/published/<run>, replacing earlier ones, and return the folder.

    Raises:
        StoreError: a file is a link out of the stage.
    """
    out = stages.run_folder(f"published/{run}")
    files = [path for pattern in PUBLISHED for path in stage.glob(pattern)]
    if linked := next((path for path in files if not _within(path, stage)), None):
        raise StoreError(
            f"{linked}: expected a file of the stage, got a link to a file outside of it, which would be published; remove "
            "the link, and ask where this results folder came from"
        )
    names = {path.relative_to(stage) for path in files}
    for pattern in PUBLISHED:
        for old in out.glob(pattern):
            if old.relative_to(out) not in names:
                old.unlink()
    for name in sorted(names):
        write_atomically(out / name, read_bytes(stage / name))
    return out


def _within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
