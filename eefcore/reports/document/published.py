"""What a README cites: a report's text, tables and figures, copied out of its stage to be committed."""

from __future__ import annotations

from pathlib import Path

from eefcore.errors import StoreError
from eefcore.storage import stages
from eefcore.storage.disk import read_bytes, write_atomically

KEPT = ("report.md", "tables/*.csv", "figures/*.png", "figures/*.csv")
"""Of the report stage's files those that are small: drawings (SVG) stay there."""


def publish(run: str, stage: Path) -> Path:
    """The small files of the finished report stage in results/published/<run>; what was there before is replaced."""
    out = stages.run_folder(f"published/{run}")
    found = [path for pattern in KEPT for path in stage.glob(pattern)]
    if linked := next((path for path in found if not _within(path, stage)), None):
        raise StoreError(
            f"{linked}: a link to a file outside of the stage, which would be published; remove it, and ask whoever "
            "made this results folder"
        )
    there = {path.relative_to(stage) for path in found}
    for pattern in KEPT:
        for old in out.glob(pattern):
            if old.relative_to(out) not in there:
                old.unlink()
    for path in sorted(there):
        write_atomically(out / path, read_bytes(stage / path))
    return out


def _within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
