"""Record a stage at work: its folder, what it reads, what it logs, and the record it leaves.

    stage = Stage.open(run=…, label="explore#1", notebook="05_explore", params={…}, inputs={"model": …})
    …                       cells; a kill leaves the partial folder, and a rerun continues its journals
    stage.finish()          one rename, and the stage is done

Everything goes to files in the stage's folder first and to W&B second (`eefcore.tracking.wandb_run`).
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec
from tqdm.auto import tqdm

from eefcore.errors import ParamsError, StoreError
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.storage.disk import explain_os_errors, read_bytes, write_atomically, write_csv
from eefcore.storage.journal import Journal
from eefcore.storage.metrics_log import MetricsLog
from eefcore.storage.outputs import check_outputs, hash_outputs
from eefcore.storage.seal import sealed, unsealed
from eefcore.storage.stage_inputs import StageInputs
from eefcore.storage.stages import Progress, StageRecord
from eefcore.tracking.identity import code_of, identity, models_of
from eefcore.tracking.secrets import refuse_secrets, texts
from eefcore.tracking.wandb_run import WandbRun
from eefcore.types import Card, Trajectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from eefcore.protocols import Skill
    from eefcore.viewer import TrajectoriesView

R = TypeVar("R")

PACKAGES = ("eefcore", "torch", "transformers")  # beside Python, what may move a number
ARTIFACT_BYTES = 5_000_000  # the largest file of a stage that is copied to W&B; models are not
_ATTEMPTS = "attempts.json"
_BEAT = 1.0  # seconds between two notes of how long a stage has worked
_ABSOLUTE = re.compile(r"/|~|[A-Za-z]:[\\/]|file:")

_open: dict[Path, Stage] = {}
"""Stages at work in this process: running the opening cell once more takes its stage up again."""


class Stage:
    """One stage at work. As a context manager it finishes by itself; an error leaves the partial folder."""

    def __init__(
        self,
        run: str,
        label: str,
        notebook: str,
        params: dict[str, Any],
        inputs: StageInputs[Path],
        identities: dict[str, str],
        claim: stages.StageLock,
    ) -> None:
        self.run, self.label, self.notebook = run, label, notebook
        self.params, self.inputs, self.identities = params, inputs, identities
        self._code, self._models = code_of(notebook, params), models_of(params)
        self.identity = identity(notebook, params, identities, self._code, self._models)
        self._final, self._claim = stages.stage_folder(run, label, self.identity), claim
        if stages.has_partial_record(self._final):
            stages.publish(self._final)
        self._ended, self._shown_again = False, stages.is_finished(self._final)
        self._cost, self._card = Cost(), None
        self._opened, self._started = time.monotonic(), datetime.now(UTC)
        self._beaten, self._bars = -_BEAT, []
        with explain_os_errors("work in", self._final.parent):
            self._partial.mkdir(parents=True, exist_ok=True)
        if self._shown_again:
            warnings.warn(
                f"{label} is finished already ({self._final.name}): this shows it again and keeps the record as it is; "
                "for other results change a parameter",
                stacklevel=3,
            )
            for path in self._final.glob("*.journal.jsonl"):  # so that it is shown again quickly
                write_atomically(self._partial / path.name, read_bytes(path))
        self._earlier = _read_attempts(self._partial / _ATTEMPTS)
        self._metrics = MetricsLog(self._partial / "metrics.partial.jsonl", len(self._earlier))
        self.attempt = self._metrics.attempt
        self.beat()
        about = {"identity": self.identity, "inputs": identities}
        config = {**params, **about, "attempt": self.attempt, "packages": packages()}
        self._wandb = WandbRun(run, label, notebook, config, disabled=self._shown_again)

    @classmethod
    def open(
        cls, *, run: str, label: str, notebook: str, params: Mapping[str, Any], inputs: Mapping[str, Path]
    ) -> Stage:
        """Open a stage: a new one, one that was killed and continues, or a finished one that is shown again.

        An input is the folder of a finished stage, or a committed one, known by its files.

        Raises:
            StoreError: another process works on it; an input is not there, or damaged; no permission.
            ParamsError: a parameter holds an absolute path or a secret.
        """
        check_portable(params)
        if unchecked := check_outputs(inputs.values()):
            names = ", ".join(folder.name for folder in unchecked[:5])
            warnings.warn(
                f"{label} reads {len(unchecked)} stages unchecked, as they were recorded without hashes: {names}"
                f"{', …' if len(unchecked) > 5 else ''}",
                stacklevel=3,
            )
        identities = {name: stages.input_identity(path) for name, path in inputs.items()}
        final = stages.stage_folder(run, label, identity(notebook, params, identities))
        if final in _open:
            _open[final].abandon()
        claim = stages.StageLock(final)
        try:
            stage = cls(run, label, notebook, dict(params), StageInputs(inputs), identities, claim)
        except BaseException:
            claim.release()
            raise
        _open[final] = stage
        return stage

    @property
    def folder(self) -> Path:
        """Return the folder that the stage writes to, or its final one once it is finished."""
        done = self._ended and stages.is_finished(self._final)
        return self._final if done else stages.partial_folder(self._final)

    def input(self, name: str) -> Path:
        """Return the folder of a finished stage that this one reads."""
        if name not in self.inputs:
            raise ParamsError(
                f"{self.label}: no input {name!r}; it was opened with {', '.join(self.inputs) or 'none'}. "
                "Name it where the stage is opened"
            )
        return self.inputs[name]

    @overload
    def journal(self, name: str, fingerprint: str = "") -> Journal[Trajectory]: ...
    @overload
    def journal(self, name: str, fingerprint: str = "", *, type: type[R]) -> Journal[R]: ...
    def journal(self, name: str, fingerprint: str = "", *, type: type[Any] = Trajectory) -> Journal[Any]:
        """Return a journal for long work, which a rerun continues; the folder stands for the parameters and inputs."""
        return Journal(self._partial / f"{name}.journal.jsonl", type, fingerprint)

    def progress(self, total: int, what: str) -> Bar:
        """Show a progress bar, and keep `progress.json` for other processes."""
        self._bars.append(bar := Bar(self, total, what))
        return bar

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers of the whole stage, or of one `step` of a curve; each key has a row in results/README.md."""
        self._at_work()
        kept = self._metrics.add(metrics, step)
        self._wandb.log(kept, step)
        self.beat()

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write a table as `tables/<name>.csv`, and send it to W&B."""
        kept = [list(row) for row in rows]
        write_csv(self._partial / "tables" / f"{name}.csv", columns, kept)
        self._wandb.table(name, columns, kept)
        self.beat()

    def figure(self, name: str, figure: Figure) -> None:
        """Write a figure as `figures/<name>.png` and `.svg`, and the numbers that a `Plot` draws as `.csv`."""
        from eefcore.figures.plots import render_files  # matplotlib is there: someone made the figure

        path = self._partial / "figures" / name
        for ending, content in render_files(figure).items():
            write_atomically(path.with_name(f"{name}.{ending}"), content)
        self._wandb.image(name, path.with_name(f"{name}.png"))
        self.beat()

    def text(self, name: str, text: str) -> None:
        """Write a text to read, such as a dialogue, as `texts/<name>.txt`."""
        write_atomically(self._partial / "texts" / f"{name}.txt", text.encode("utf-8", "replace"))
        self._wandb.text(name, text)
        self.beat()

    def trajectories(self, skills: Mapping[str, Skill] | None = None) -> TrajectoriesView:
        """Return the trajectories and trees that the stage has written, which a notebook shows to filter, search and compare.

        `skills` are those to mark; without them they are the benchmark's that the parameters name.
        """
        from eefcore.viewer import view_stage  # a page is made by few stages

        models = [*self.inputs.by_iteration("model").values(), *filter(None, [self.inputs.get("model")])]
        return view_stage(self.folder, self.label, self.params, models, skills)

    def cost(self, cost: Cost) -> None:
        """Add a cost to the stage's own. Its seconds are its wall time, whatever `cost` says."""
        self._cost += cost

    def card(self, card: Card) -> None:
        """Set the environment card that the stage's numbers were measured under."""
        self._card = card

    @property
    def seconds(self) -> float:
        """Return the seconds at work: of this attempt, and of earlier ones that were killed."""
        return sum(a.seconds for a in self._earlier) + time.monotonic() - self._opened

    def finish(self) -> StageRecord:
        """Finish the stage: name its folder and close its W&B run. A stage finished before keeps its record."""
        if self._ended and stages.is_finished(self._final):
            return stages.read_record(self._final)
        self._at_work()
        if self._shown_again:
            shutil.rmtree(self._partial)
            self._ended = True
            self._close()
            return stages.read_record(self._final)
        record = self._record()
        points = self._metrics.points()
        self._metrics.close(self._partial / "metrics.jsonl")
        record = msgspec.structs.replace(record, outputs=hash_outputs(self._partial))
        stages.write_record(self._partial, record)
        stages.publish(self._final)
        self._ended = True
        for point in points:
            if point.attempt < self.attempt:
                self._wandb.log(point.metrics, point.step)
        files = [p for p in sorted(self._final.iterdir()) if not p.name.endswith(".journal.jsonl")]
        small = [p for p in files if p.is_file() and p.stat().st_size <= ARTIFACT_BYTES]
        card = self._card.key if self._card else None
        about = {"identity": self.identity, "inputs": self.identities, "card": card}
        self._wandb.finish(self._final.name, self.notebook, small, about)
        self._close()
        return record

    def abandon(self) -> None:
        """Stop without a result; the partial folder stays for the next attempt."""
        if not self._ended:
            self.beat(now=True)
            self._wandb.abandon()
            self._close()
            self._ended = True

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.finish() if kind is None else self.abandon()

    def beat(self, *, now: bool = False) -> None:
        """Note for later attempts how long this one has worked, once a second at most."""
        elapsed = time.monotonic() - self._opened
        if now or elapsed - self._beaten >= _BEAT:
            self._beaten = elapsed
            attempts = _Attempts([*self._earlier, _Attempt(self._started, elapsed)])
            write_atomically(self._partial / _ATTEMPTS, msgspec.json.encode(sealed(attempts)), sync=False)

    def _at_work(self) -> None:
        if self._ended:
            raise StoreError(
                f"{self.label}: expected a stage at work, but it has ended; run the cell that opens it again"
            )

    @property
    def _partial(self) -> Path:
        """Return the folder that the stage writes to while it is at work."""
        self._at_work()
        return stages.partial_folder(self._final)

    def _record(self) -> StageRecord:
        seconds = self.seconds
        cost = msgspec.structs.replace(self._cost, seconds=seconds)
        self.log({f"cost/{name}": getattr(cost, name) for name in cost.__struct_fields__})
        return StageRecord(
            label=self.label,
            notebook=self.notebook,
            params=self.params,
            inputs=self.identities,
            identity=self.identity,
            card=self._card,
            cost=cost,
            metrics=self._metrics.latest(),
            packages=packages(),
            commit=commit(stages.workspace()),
            seconds=seconds,
            attempts=self.attempt,
            started=(self._earlier or [_Attempt(self._started, 0.0)])[0].started,
            finished=datetime.now(UTC),
            code=self._code,
            models=self._models,
            sequence=stages.next_sequence(self.run),
        )

    def _close(self) -> None:
        for bar in self._bars:
            bar.close()
        self._claim.release()
        _open.pop(self._final, None)


class Bar:
    """A progress bar; call it with the number of items that were done since."""

    def __init__(self, stage: Stage, total: int, what: str) -> None:
        self._stage, self._total, self._what, self._done = stage, total, what, 0
        self._bar = tqdm(total=total, desc=what)
        self._noted = -_BEAT
        self._note()

    def __call__(self, n: int = 1) -> None:
        """Count `n` more as done."""
        self._done += n
        self._bar.update(n)
        if time.monotonic() - self._noted >= _BEAT / 2 or self._done >= self._total:
            self._note()

    def at(self, done: int) -> None:
        """Set how many are done in all, those of an earlier attempt among them."""
        self(done - self._done)

    def more(self, n: int) -> None:
        """Raise the number of items to do by `n`."""
        self._total += n
        self._bar.total = self._total
        self._bar.refresh()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the progress bar."""
        self._bar.close()

    def _note(self) -> None:
        self._noted = time.monotonic()
        now = Progress(self._what, self._done, self._total, self._stage.seconds)
        write_atomically(self._stage.folder / "progress.json", msgspec.json.encode(now), sync=False)
        self._stage.beat()


class _Attempt(msgspec.Struct, frozen=True):
    started: datetime
    seconds: float


class _Attempts(msgspec.Struct, frozen=True):
    attempts: list[_Attempt]


def _read_attempts(path: Path) -> list[_Attempt]:
    """Return the attempts before this one; none, with a warning, if the note on them is damaged."""
    if not path.exists():
        return []
    try:
        content = unsealed(read_bytes(path), str(path), required=True)
        return msgspec.convert(content, _Attempts).attempts
    except (StoreError, msgspec.ValidationError) as error:
        warnings.warn(f"{error}; the seconds of earlier attempts are not counted", stacklevel=4)
        return []


def packages() -> dict[str, str]:
    """Return the versions of Python and the packages that may move a number, without importing them."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def commit(workspace: Path) -> str:
    """Return the git commit of the workspace, with a `+` if tracked files differ from it; empty outside of git."""
    try:
        git = ("git", "-C", str(workspace), "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=12")
        return subprocess.run(git, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def check_portable(params: Mapping[str, Any]) -> None:
    """Refuse parameters that hold an absolute path or a secret: ParamsError."""
    refuse_secrets(params)
    for name, value in params.items():
        for text in texts(value):
            if _ABSOLUTE.match(text):
                raise ParamsError(
                    f"parameter {name!r} is an absolute path, {text!r}; expected one from the workspace, or "
                    "${NAME} for one that an environment variable holds"
                )
