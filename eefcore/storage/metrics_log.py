"""Log the metrics of a stage, and merge those of several attempts into what one attempt would have logged."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from eefcore.errors import StoreError
from eefcore.storage.disk import LineCodec, append_bytes, read_bytes, truncate, write_atomically
from eefcore.storage.seal import sealed, unsealed

Metric = float | int | str | bool | None


class Point(NamedTuple):
    """Metrics that were logged together: of one `step` of a curve, or of the whole stage (`step` is None)."""

    attempt: int
    step: int | None
    metrics: dict[str, Metric]


class MetricsLog:
    """A file at `path` with one line for each point while a stage is at work; `close` writes what counts of it.

    `before` is the number of earlier attempts, as far as it is known: the file may know of more.
    """

    def __init__(self, path: Path, before: int) -> None:
        self.path = path
        if path.exists():
            self._drop_damaged()
        self.attempt = 1 + max([before, *(point.attempt for point in self._read())])

    def add(self, metrics: Mapping[str, Any], step: int | None) -> dict[str, Metric]:
        """Log `metrics`, and return them as they are kept."""
        kept = {key: _plain(key, value) for key, value in metrics.items()}
        line = msgspec.json.encode(sealed(_Line(self.attempt, step, kept))) + b"\n"
        append_bytes(self.path, line, sync=False)
        return kept

    def points(self) -> list[Point]:
        """Return the points of all attempts, merged."""
        return merge_attempts(self._read())

    def latest(self) -> dict[str, Metric]:
        """Return the last value of each key."""
        return {key: value for point in self.points() for key, value in point.metrics.items()}

    def close(self, path: Path) -> None:
        """Write the merged points to `path`, without their attempts, so that a kill leaves no trace."""
        lines = [msgspec.json.encode({"step": p.step, **p.metrics}) + b"\n" for p in self.points()]
        write_atomically(path, b"".join(lines))

    def _read(self) -> list[Point]:
        lines = read_bytes(self.path).splitlines() if self.path.exists() else []
        return [self._decode(line, n) for n, line in enumerate(lines, start=1)]

    def _decode(self, line: bytes, number: int) -> Point:
        where = f"{self.path}:{number}"
        kept = LineCodec[_Line](_Line).decode(
            msgspec.json.encode(unsealed(line, where, required=True)), where
        )
        return Point(kept.attempt, kept.step, kept.metrics)

    def _drop_damaged(self) -> None:
        """Leave out the lines of earlier attempts that are damaged, and say so: curves are no results."""
        lines, kept = read_bytes(self.path).splitlines(keepends=True), []
        if lines and not lines[-1].endswith(b"\n"):
            truncate(self.path, sum(map(len, lines[:-1])))  # the line that a killed attempt was writing
            lines.pop()
        for number, line in enumerate(lines, start=1):
            with suppress(StoreError):
                self._decode(line, number)
                kept.append(line)
        if len(kept) < len(lines):
            warnings.warn(
                f"{self.path}: {len(lines) - len(kept)} of {len(lines)} points of an earlier attempt are damaged; they are "
                "dropped, and curves have gaps there",
                stacklevel=4,
            )
            write_atomically(self.path, b"".join(kept))


class _Line(msgspec.Struct, frozen=True):
    """A point as the file keeps it."""

    attempt: int
    step: int | None
    metrics: dict[str, Metric]


def merge_attempts(points: Sequence[Point]) -> list[Point]:
    """Return the points of all attempts as one attempt would have logged them, each key once a step.

    Training resumes from a checkpoint and logs again what came after it, so the last value of a step counts. Metrics
    of the whole stage are those of the last attempt alone.
    """
    last_attempt = max((p.attempt for p in points), default=0)
    kept = [p for p in points if p.step is not None or p.attempt == last_attempt]
    last = {(p.step, key): i for i, p in enumerate(kept) for key in p.metrics}
    merged = [
        p._replace(metrics={k: v for k, v in p.metrics.items() if last[p.step, k] == i})
        for i, p in enumerate(kept)
    ]
    return [p for p in merged if p.metrics]


def _plain(key: str, value: Any) -> Metric:
    """Return a number or a text as JSON can hold it; a number that is not finite is None."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if abs(number) < float("inf") else None
    raise TypeError(f"{key}: expected a number, got {value!r}; give tensors as `.item()`")
