"""Keep each stage of a run in a folder: its record, its results and its progress.

    results/<run>/<label>-<identity>/            a finished stage; the final name is the proof
    results/<run>/.<label>-<identity>.partial/   a stage at work, or one that was killed
    results/<run>/.<label>-<identity>.lock       held by the process at work, a notebook's kernel
    results/<run>/.<label>-<identity>.run.lock   held by the `eef run` that executes its notebook

The root is EEF_RESULTS, or `results` beside `notebooks` and `params`. Nothing is deleted at the start, and no record
holds a path outside the root. The files inside are typed JSONL (`eefcore.storage.records`).
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any, Self

import msgspec

from eefcore.errors import UNDECODABLE, ParamsError, StageBusy, StoreError
from eefcore.storage.cost import Cost
from eefcore.storage.disk import LineCodec, explain_os_errors, read_bytes, sync_folder, write_atomically
from eefcore.storage.hashing import digest, hash_folder
from eefcore.storage.metrics_log import Metric
from eefcore.storage.seal import sealed, unsealed
from eefcore.types import Card

Params = Mapping[str, Any]

RECORD = "stage.json"
"""The record in the folder of a finished stage."""

PUBLISHED = "published"
"""The folder under the results root that `eef report --publish` writes to; no run has its name."""

NOTEBOOK = "notebook.ipynb"
"""The executed notebook in its stage's folder; it is written when the stage finishes or fails."""

ATTEMPT_FILES = ("attempts.json", "progress.json", "metrics.partial.jsonl", NOTEBOOK)
"""Files of a stage at work that a finished stage does not need; the notebook among them is of a failed attempt."""


class StageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A finished stage: its code, parameters, inputs and metrics; `stage.json` in its folder."""

    label: str  # its place in the run, as explore#1
    notebook: str  # as 05_explore
    params: dict[str, Any]
    inputs: dict[str, str]  # the identity of each, by its name
    identity: str  # the hash of what its result follows from (`stage_identity`)
    card: Card | None
    cost: Cost
    metrics: dict[str, Metric]  # the last value of each logged key
    packages: dict[str, str]  # versions of packages that may change a number
    seconds: float  # working time over all attempts
    attempts: int  # how often the stage was started
    started: datetime
    finished: datetime
    code: dict[str, str] = {}  # the hash of each module that its results follow from; empty in older records
    models: dict[
        str, str
    ] = {}  # the hash of each model that a parameter names, by `base model`, `critic model`, …
    outputs: dict[
        str, str
    ] = {}  # the hash of each file that it wrote (`storage.outputs`); empty in older records
    sequence: int = 0  # its place among the stages of its run, by when they finished; 0 in older records
    commit: str = ""  # of the workspace in git, with a + if tracked files differ; empty outside of git

    def _repr_html_(self) -> str:
        """Return the stage as a notebook shows it: what it is, how long it took, and the last value of each metric."""
        rows = (
            f"<tr><th>{escape(name)}</th><td>{escape(_shown(value))}</td></tr>"
            for name, value in self.metrics.items()
        )
        return f"<p><b>{escape(self._name)}</b> {self._time}</p><table>{''.join(rows)}</table>"

    def __repr__(self) -> str:
        """Return the stage as a shell shows it: the same as a notebook, a metric a line."""
        metrics = (f"\n  {name} {_shown(value)}" for name, value in self.metrics.items())
        return f"{self._name} {self._time}{''.join(metrics)}"

    @property
    def _name(self) -> str:
        return f"{self.label}-{self.identity[:8]}"

    @property
    def _time(self) -> str:
        tries = f" in {self.attempts} attempts" if self.attempts > 1 else ""
        return f"finished after {self.seconds:.0f} s{tries}"


def _shown(value: Metric) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Progress(msgspec.Struct, frozen=True):
    """The progress of a stage at work; `progress.json` in its folder."""

    what: str
    done: int
    total: int
    seconds: float


def stage_identity(notebook: str, params: Params, inputs: Mapping[str, str]) -> str:
    """Return the hash that identifies a stage's result: of its notebook, parameters and its inputs' identities."""
    content = [notebook, sorted(params.items()), sorted(inputs.items())]
    return digest(msgspec.json.encode(content, order="sorted").decode())


def workspace() -> Path:
    """Return the folder that holds `notebooks` and `params`: the working folder or one above it; else the working folder."""
    here = Path.cwd()
    return workspace_of(here) or here


def workspace_of(folder: Path) -> Path | None:
    """Return the workspace that `folder` lies in: the nearest one that holds `notebooks` and `params`; None if it lies in none."""
    folders = (folder, *folder.parents)
    return next((p for p in folders if (p / "notebooks").is_dir() and (p / "params").is_dir()), None)


def results_root() -> Path:
    """Return the folder of all results: EEF_RESULTS (from the workspace if relative), or `results` in the workspace."""
    return workspace() / (os.environ.get("EEF_RESULTS") or "results")


def run_folder(run: str) -> Path:
    """Return the folder that holds the stages of `run`."""
    return results_root().joinpath(*(_name("run", part) for part in run.split("/")))


def check_run_name(name: str) -> None:
    """Refuse the name of a new run that would share a folder with other things.

    Raises:
        ParamsError: it has a slash, which only suites make; it is `published`; or it names no folder.
    """
    if "/" in name:
        raise ParamsError(
            f"run {name!r} has a slash: only a suite puts runs into a folder; write a name without it"
        )
    if name.casefold() == PUBLISHED:
        raise ParamsError(f"run {name!r} is the folder of published reports; give the run another name")
    if run_folder(name).is_file():
        raise ParamsError(f"run {name!r}: {run_folder(name)} is a file; give the run another name")


def stage_folder(run: str, label: str, identity: str) -> Path:
    """Return the folder that a stage has once it is finished."""
    return run_folder(run) / f"{_name('label', label)}-{_name('identity', identity[:8])}"


def partial_folder(folder: Path) -> Path:
    """Return the folder in which the stage of `folder` works; a kill leaves it, so that journals resume."""
    return folder.with_name(f".{folder.name}.partial")


def is_finished(folder: Path) -> bool:
    """Return whether the stage in `folder` has finished."""
    return folder.is_dir()


def read_record(folder: Path) -> StageRecord:
    """Read the record of the finished stage in `folder`.

    Raises:
        StoreError: it is not there, or not as it was written.
    """
    path = folder / RECORD
    try:
        content = unsealed(read_bytes(path), str(path), required=False)
    except StoreError as error:
        raise StoreError(
            f"{error}; move the folder away and run its stage again, or copy it again"
        ) from error
    return LineCodec[StageRecord](StageRecord).decode(msgspec.json.encode(content), str(path))


def write_record(folder: Path, record: StageRecord) -> None:
    """Write `record` as `stage.json` in `folder`, with a seal by which damage is found."""
    text = msgspec.json.format(msgspec.json.encode(sealed(record)), indent=1)
    write_atomically(folder / RECORD, text + b"\n")


def finished_stages(run: str) -> list[StageRecord]:
    """Return the finished stages of a run, oldest first, also if the clock was set back; none if the run is unknown."""
    records = [read_record(folder) for folder in finished_folders(run)]
    return sorted(records, key=lambda r: (r.sequence, r.finished, r.label))


def finished_folders(run: str, *, below: bool = False) -> list[Path]:
    """Return the folders of a run's finished stages by name; with `below`, those of the runs in its folder as well."""
    pattern = f"{'**/' if below else ''}[!.]*/{RECORD}"
    return sorted(path.parent for path in run_folder(run).glob(pattern))


def next_sequence(run: str) -> int:
    """Return the place of the stage that finishes now among the stages of its run; a record that can't be read has none."""
    last = 0
    for folder in finished_folders(run):
        with suppress(StoreError):
            last = max(last, read_record(folder).sequence)
    return last + 1


def list_runs() -> list[str]:
    """Return the names of all runs that have a finished stage."""
    root = results_root()
    folders = {path.parent.parent for path in root.glob(f"**/[!.]*/{RECORD}")}
    return sorted(folder.relative_to(root).as_posix() for folder in folders)


def input_identity(folder: Path) -> str:
    """Return the identity of a stage's input: of a finished stage its own, of any other folder the hash of its files."""
    if (folder / RECORD).is_file():
        return read_record(folder).identity
    if not any(p.is_file() for p in folder.rglob("*")):
        raise StoreError(
            f"{folder}: no finished stage and no files; run the stage that makes it first, or check the name"
        )
    with explain_os_errors("read", folder):
        return hash_folder(folder)


def read_progress(folder: Path) -> Progress | None:
    """Read the progress of the stage of `folder`; None before it has reported any, or if its note is torn."""
    path = partial_folder(folder) / "progress.json"
    with suppress(OSError, *UNDECODABLE):  # the next one comes in a second
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    return None


def has_partial_record(folder: Path) -> bool:
    """Return whether the stage of `folder` was killed after it wrote its record and before `publish`."""
    return (partial_folder(folder) / RECORD).exists()


def publish(folder: Path) -> None:
    """Rename the partial folder to `folder`, in one step; it is all that a stage with a record still needs."""
    partial = partial_folder(folder)
    with explain_os_errors("finish", folder):
        for name in ATTEMPT_FILES:
            (partial / name).unlink(missing_ok=True)
        for leftover in partial.rglob(".*.tmp"):  # from a write that was killed
            leftover.unlink()
        sync_folder(partial)
        partial.rename(folder)
        sync_folder(folder.parent)


class StageLock:
    """A lock that lets one process work on the stage of `folder`, until `release` or the end of the process.

    With `executing` it lets one process execute the stage's notebook in a kernel; the kernel then works on the stage.

    Raises:
        StageBusy: another process holds the lock.
    """

    def __init__(self, folder: Path, *, executing: bool = False) -> None:
        path = folder.with_name(f".{folder.name}{'.run' if executing else ''}.lock")
        with explain_os_errors("work in", folder.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            # The lock belongs to the process and not to the open file, so forked children do not keep it.
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
        """Let other processes work on the stage."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


_NAME = re.compile(r"\w[\w#.=+-]*")


def _name(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ParamsError(
            f"{what} {name!r} does not name a folder: expected letters, digits and # . = + - _, the first a letter "
            "or digit; mend it in the params file"
        )
    return name
