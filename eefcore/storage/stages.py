"""What is kept of a run: one folder a stage, with what it was, what came of it, and how far it is.

    results/<run>/<label>-<identity>/            a finished stage; that it exists is the proof
    results/<run>/.<label>-<identity>.partial/   a stage at work, or one that was killed
    results/<run>/.<label>-<identity>.lock       held by the process at work, a notebook's kernel
    results/<run>/.<label>-<identity>.run.lock   held by the `eef run` that executes its notebook

The root is EEF_RESULTS, or `results` beside `notebooks` and `params`. Nothing is deleted at start, and
no record holds a path outside the root. The files inside are typed JSONL, `eefcore.storage.records`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from eefcore.errors import ParamsError, StageBusy, StoreError
from eefcore.storage.cost import Cost
from eefcore.storage.disk import LineCodec, explain_os_errors, read_bytes, sync_folder, write_atomically
from eefcore.storage.hashing import hash_folder
from eefcore.storage.metrics_log import Metric
from eefcore.storage.records import Records, read_records, write_records
from eefcore.types import Card

__all__ = [
    "Metric",
    "Progress",
    "Records",
    "StageLock",
    "StageRecord",
    "finished_stages",
    "has_partial_record",
    "input_identity",
    "is_finished",
    "list_runs",
    "partial_folder",
    "publish",
    "read_progress",
    "read_record",
    "read_records",
    "results_root",
    "run_folder",
    "stage_folder",
    "stage_identity",
    "workspace",
    "write_record",
    "write_records",
]

Params = Mapping[str, Any]

NOTEBOOK = "notebook.ipynb"
"""The executed notebook, in its stage's folder; it gets there once the stage is finished, or has failed."""

ATTEMPT_FILES = ("attempts.json", "progress.json", "metrics.partial.jsonl", NOTEBOOK)
"""Files of a stage at work, which say no more than its record once it is finished; the notebook is a failed attempt's."""


class StageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished stage was and what came of it; `stage.json` in its folder.

    Attributes:
        label: its place in the run: `explore#1`.
        notebook: its code: `05_explore`.
        inputs: a name and the identity of each input.
        identity: of this stage; see `identity`.
        metrics: the last value of each logged key.
        packages: versions that may move a number.
        seconds: at work, over all attempts.
        attempts: 1 and how often it was taken up again.
        code: the hash of each module that its results follow from (`eefcore.tracking.code`); empty in older records.
    """

    label: str
    notebook: str
    params: dict[str, Any]
    inputs: dict[str, str]
    identity: str
    card: Card | None
    cost: Cost
    metrics: dict[str, Metric]
    packages: dict[str, str]
    seconds: float
    attempts: int
    started: datetime
    finished: datetime
    code: dict[str, str] = {}


class Progress(msgspec.Struct, frozen=True):
    """How far a stage at work is; `progress.json` in its folder."""

    what: str
    done: int
    total: int
    seconds: float


def stage_identity(notebook: str, params: Params, inputs: Mapping[str, str]) -> str:
    """The hash of what a stage's result follows from.

    That is its notebook's name, its parameters and its inputs' identities.
    """
    content = [notebook, sorted(params.items()), sorted(inputs.items())]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def workspace() -> Path:
    """The folder that holds `notebooks` and `params`, from here upwards; here if there is none."""
    here = Path.cwd()
    return next(
        (p for p in (here, *here.parents) if (p / "notebooks").is_dir() and (p / "params").is_dir()), here
    )


def results_root() -> Path:
    """EEF_RESULTS, from the workspace if it is relative, or the workspace's `results`."""
    return workspace() / (os.environ.get("EEF_RESULTS") or "results")


def run_folder(run: str) -> Path:
    """Where the stages of `run` are."""
    return results_root().joinpath(*(_name("run", part) for part in run.split("/")))


def stage_folder(run: str, label: str, identity: str) -> Path:
    """Where the stage is when it is finished."""
    return run_folder(run) / f"{_name('label', label)}-{_name('identity', identity[:8])}"


def partial_folder(folder: Path) -> Path:
    """Where the stage of `folder` is while it is at work. Kept after a kill, so that journals resume."""
    return folder.with_name(f".{folder.name}.partial")


def is_finished(folder: Path) -> bool:
    """Whether the stage of `folder` is."""
    return folder.is_dir()


def read_record(folder: Path) -> StageRecord:
    """What the finished stage of `folder` was."""
    path = folder / "stage.json"
    return LineCodec[StageRecord](StageRecord).decode(read_bytes(path), str(path))


def write_record(folder: Path, record: StageRecord) -> None:
    """`stage.json` in `folder`."""
    write_atomically(
        folder / "stage.json", msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
    )


def finished_stages(run: str) -> list[StageRecord]:
    """All finished stages of `run`, in the order they finished; none if the run is unknown."""
    found = [read_record(path.parent) for path in run_folder(run).glob("[!.]*/stage.json")]
    return sorted(found, key=lambda r: (r.finished, r.label))


def list_runs() -> list[str]:
    """The names of all runs with a finished stage."""
    root = results_root()
    found = {path.parent.parent for path in root.glob("**/[!.]*/stage.json")}
    return sorted(folder.relative_to(root).as_posix() for folder in found)


def input_identity(folder: Path) -> str:
    """The identity of what a stage reads: a finished stage's own, or the hash of a committed folder's files."""
    if (folder / "stage.json").is_file():
        return read_record(folder).identity
    if not any(p.is_file() for p in folder.rglob("*")):
        raise StoreError(
            f"{folder}: no finished stage and no files; run the stage that makes it first, or check the name"
        )
    with explain_os_errors("read", folder):
        return hash_folder(folder)


def read_progress(folder: Path) -> Progress | None:
    """How far the stage of `folder` is, as it last told; None before it did."""
    path = partial_folder(folder) / "progress.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return None


def has_partial_record(folder: Path) -> bool:
    """Whether the stage of `folder` was killed between its record and its name."""
    return (partial_folder(folder) / "stage.json").exists()


def publish(folder: Path) -> None:
    """The partial folder becomes `folder`, at one instant; from its record on, all it takes is this."""
    partial = partial_folder(folder)
    with explain_os_errors("finish", folder):
        for name in ATTEMPT_FILES:
            (partial / name).unlink(missing_ok=True)
        for leftover in partial.rglob(".*.tmp"):  # of a write that was killed
            leftover.unlink()
        sync_folder(partial)
        partial.rename(folder)
        sync_folder(folder.parent)


class StageLock:
    """The right to work on the stage of `folder`, until `release` or the end of the process.

    With `executing` it is the right to execute the stage's notebook in a kernel, which then works on the stage.

    Raises:
        StageBusy: another process holds it.
    """

    def __init__(self, folder: Path, *, executing: bool = False) -> None:
        path = folder.with_name(f".{folder.name}{'.run' if executing else ''}.lock")
        with explain_os_errors("work in", folder.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            # A lock of the process, not of the open file: forked children do not keep it alive.
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._handle, 20).decode() or "unknown"
            os.close(self._handle)
            raise StageBusy(
                f"{folder}: expected to work on this stage alone, but process {holder} does; "
                "wait for it or stop it, then run again"
            ) from error
        os.truncate(self._handle, 0)
        os.write(self._handle, str(os.getpid()).encode())

    def release(self) -> None:
        """Let others work on it."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


_NAME = re.compile(r"\w[\w#.=+-]*")


def _name(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ParamsError(
            f"{what} {name!r} does not name a folder: expected letters, digits and # . = + - _, the first a letter "
            "or digit; mend it in the params file"
        )
    return name
