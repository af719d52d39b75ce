"""Log one attempt of a stage as a W&B run, and upload runs that were recorded offline.

An attempt is never resumed at W&B: offline runs can't be, and a later upload would overwrite. Each has its own W&B
run, in the group of its run. What W&B can't do is warned of once and never costs the stage, whose folder is the record.
W&B notes the whole local path of each artefact file until it is uploaded; nothing else here names one.
"""

from __future__ import annotations

import html
import netrc
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from eefcore.errors import StoreError, TrackingError, suggest
from eefcore.storage import stages

PROJECT = "eef"
COMPLETE = "eef.complete"
"""The file in a W&B run's folder that names its stage, written once the stage is finished."""


class WandbRun:
    """A W&B run of one attempt of a stage, in results/<run>/wandb; does nothing when W&B is disabled, or has failed."""

    def __init__(
        self, run: str, label: str, notebook: str, config: Mapping[str, Any], *, disabled: bool = False
    ) -> None:
        self._run: Any = None
        chosen = "disabled" if disabled else mode()
        if chosen == "disabled":
            return
        if chosen == "online" and (reason := unreachable()):
            warnings.warn(f"{reason}; this run is recorded offline, `eef sync` uploads it", stacklevel=3)
            chosen = "offline"
        self._try("start", lambda: self._start(run, label, notebook, config, chosen))
        if self._run is None and chosen == "online":
            self._try("start offline", lambda: self._start(run, label, notebook, config, "offline"))

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log one point of each metric."""
        point = dict(metrics) if step is None else {**metrics, "step": step}
        self._send("log", lambda run, _: run.log(point))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log a table to browse."""
        plain = (int, float, str, type(None))
        data = [[cell if isinstance(cell, plain) else str(cell) for cell in row] for row in rows]

        def send(run: Any, wandb: Any) -> None:
            run.log({f"tables/{name}": wandb.Table(columns=list(columns), data=data, allow_mixed_types=True)})

        self._send("log a table", send)

    def image(self, name: str, path: Path) -> None:
        """Log the picture in a PNG file."""
        self._send("log a figure", lambda run, wandb: run.log({f"figures/{name}": wandb.Image(str(path))}))

    def text(self, name: str, text: str) -> None:
        """Log a dialogue to read."""
        page = f"<pre style='white-space:pre-wrap'>{html.escape(text)}</pre>"
        self._send(
            "log a text", lambda run, wandb: run.log({f"texts/{name}": wandb.Html(page, inject=False)})
        )

    def finish(self, name: str, kind: str, files: Iterable[Path], metadata: Mapping[str, Any]) -> None:
        """Finish the run of a finished stage: log its small files as an artefact, and mark the run as complete."""

        def send(run: Any, wandb: Any) -> None:
            artifact = wandb.Artifact(name.replace("#", "-"), kind, metadata=dict(metadata))
            for path in files:
                artifact.add_file(str(path), policy="immutable", skip_cache=True)
            run.log_artifact(artifact)
            kept = Path(run.settings.sync_dir)
            run.finish()
            (kept / COMPLETE).write_text(name, encoding="utf-8")

        self._send("finish", send)
        self._run = None

    def abandon(self) -> None:
        """Close the run of an attempt that ends without a result."""
        self._send("close", lambda run, _: run.finish(exit_code=1))
        self._run = None

    def _start(self, run: str, label: str, notebook: str, config: Mapping[str, Any], mode: str) -> None:
        keep_home(stages.results_root())
        for name in [n for n, value in os.environ.items() if n.startswith("WANDB_") and not value]:
            del os.environ[name]  # an empty one counts as unset; W&B reads it, and refuses it
        import wandb

        folder = stages.run_folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=run,
            job_type=notebook,
            name=label,
            config=dict(config),
            dir=str(folder),
            mode=mode,  # ty: ignore[invalid-argument-type]  # WANDB_MODE; W&B refuses other words
            reinit="create_new",
            settings=wandb.Settings(  # quiet, and nothing about the machine, the user, the code or its place
                silent=True,
                console="off",
                symlink=False,
                init_timeout=30,
                program=notebook,
                host="",
                username="",
                email="",
                disable_git=True,
                disable_code=True,
                disable_job_creation=True,
                save_code=False,
                x_disable_meta=True,
                x_disable_stats=True,
                x_disable_machine_info=True,
                x_save_requirements=False,
            ),
        )
        self._run.define_metric("*", step_metric="step")

    def _send(self, what: str, send: Callable[[Any, Any], object]) -> None:
        """Call `send` with the W&B run and the package wandb, unless W&B is disabled or has failed."""
        if self._run is not None:
            import wandb

            self._try(what, lambda: send(self._run, wandb))

    def _try(self, what: str, act: Callable[[], object]) -> None:
        """Call `act`; an error of W&B's or of the system ends the run with a warning, and any other is raised."""
        try:
            act()
        except Exception as error:
            if not isinstance(error, OSError) and not type(error).__module__.startswith("wandb"):
                raise
            self._run = None
            warnings.warn(
                f"W&B can't {what} ({type(error).__name__}: {error}); going on without it, the stage's folder "
                "has all. WANDB_MODE=offline or disabled spares the wait",
                stacklevel=4,
            )


def keep_home(root: Path) -> None:
    """Set W&B's folders to places under the results, so that nothing is left in the user's home."""
    home = root / ".wandb-home"  # `.wandb` would make W&B look for its runs there
    for what in ("DATA", "CACHE", "CONFIG", "ARTIFACT"):
        os.environ[f"WANDB_{what}_DIR"] = str(home / what.lower())


def modules() -> tuple[str, ...]:
    """Return the modules that a W&B run imports sooner or later; importing them takes a second."""
    return () if mode() == "disabled" else ("wandb", "wandb.sdk.launch", "pandas")


def untracked(run: str, names: Iterable[str]) -> list[str]:
    """Return which of the finished stages `names`, folders of `run`, have no complete W&B run."""
    marks = (stages.run_folder(run) / "wandb").glob(f"*/{COMPLETE}")
    complete = {path.read_text(encoding="utf-8", errors="replace") for path in marks}
    return [name for name in names if name not in complete]


def mode() -> str:
    """Return WANDB_MODE; if it is not set, `online` if there is a key and `offline` if not."""
    return os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")


def unreachable() -> str:
    """Return why nobody answers at W&B's address, after three seconds at most; empty if somebody does, or a proxy would.

    W&B itself waits for half a minute, in every stage.
    """
    address = urlsplit(_address())
    if address.scheme in getproxies():
        return ""
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname, port), timeout=3).close()
    except (OSError, ValueError) as error:  # ValueError: no number stands where the port should
        return f"W&B at {address.netloc.rpartition('@')[2]} can't be reached ({error})"
    return ""


def _address() -> str:
    return os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


def has_key() -> bool:
    """Return whether W&B would find a key: in the environment or in the user's netrc."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(_address()).hostname or ""
    given = os.environ.get("NETRC")
    for path in [Path(given)] if given else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            if netrc.netrc(path).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


class SyncReport(NamedTuple):
    """The offline W&B runs that were uploaded, skipped or failed, by path from the results' root.

    The incomplete ones are of stages at work, or of killed attempts: the W&B run that finished the stage has their
    points as well.
    """

    uploaded: list[str]
    already: list[str]
    incomplete: list[str]
    failed: list[str]


def sync(runs: Sequence[str], *, dry_run: bool = False) -> SyncReport:
    """Upload the complete offline W&B runs of `runs`, each once, of a suite its seeds' as well; `dry_run` only lists them.

    Raises:
        StoreError: there is no such run; nothing is uploaded.
        TrackingError: there is no key.
    """
    folders = [stages.run_folder(run) for run in runs]  # refuses what is no name of a run
    for run, folder in zip(runs, folders, strict=True):
        if not folder.is_dir():
            guess = suggest(run, stages.list_runs()) or ";"
            raise StoreError(f"{folder}: no such run{guess} runs are named as in their params files")
    if not dry_run and not has_key():
        raise TrackingError(
            "eef sync: expected a W&B key, found none in WANDB_API_KEY or ~/.netrc; "
            "run `wandb login`, or look with `eef sync --dry-run`. Nothing is lost: the local record is complete"
        )
    root, report = stages.results_root(), SyncReport([], [], [], [])
    for run_folder in folders:
        for folder in sorted(run_folder.glob("**/wandb/offline-run-*")):
            name = folder.relative_to(root).as_posix()
            if _synced(folder):
                report.already.append(name)
            elif not (folder / COMPLETE).exists():
                report.incomplete.append(name)
            elif dry_run or _upload(folder):
                report.uploaded.append(name)
            else:
                report.failed.append(name)
    return report


def _synced(folder: Path) -> bool:
    """Return whether a run was uploaded: W&B leaves this file only when all has arrived."""
    return any(folder.glob("run-*.wandb.synced"))


def _upload(folder: Path) -> bool:
    keep_home(stages.results_root())
    command = [sys.executable, "-m", "wandb", "sync", str(folder)]
    subprocess.run(command, stdin=subprocess.DEVNULL, cwd=folder.parent, check=False)
    return _synced(folder)
