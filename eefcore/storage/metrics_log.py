"""Log the metrics of a stage, and merge those of several attempts into what one attempt would have logged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from eefcore.storage.disk import append_bytes, read_bytes, truncate, write_atomically

Metric = float | int | str | bool | None


class Point(NamedTuple):
    """Metrics that were logged together: of one `step` of a curve, or of the whole stage (`step` is None)."""

    attempt: int
    step: int | None
    metrics: dict[str, Metric]


class MetricsLog:
    """A file at `path` with one line for each point while a stage is at work; `close` writes what counts of it."""

    def __init__(self, path: Path, attempt: int) -> None:
        self.path, self.attempt = path, attempt
        if path.exists():
            truncate(path, read_bytes(path).rfind(b"\n") + 1)  # the line that a killed attempt was writing

    def add(self, metrics: Mapping[str, Any], step: int | None) -> dict[str, Metric]:
        """Log `metrics`, and return them as they are kept."""
        kept = {key: _plain(key, value) for key, value in metrics.items()}
        line = msgspec.json.encode({"attempt": self.attempt, "step": step, **kept}) + b"\n"
        append_bytes(self.path, line, sync=False)
        return kept

    def points(self) -> list[Point]:
        """Return the points of all attempts, merged."""
        lines = map(json.loads, read_bytes(self.path).splitlines() if self.path.exists() else ())
        return merge_attempts([Point(line.pop("attempt"), line.pop("step"), line) for line in lines])

    def latest(self) -> dict[str, Metric]:
        """Return the last value of each key."""
        return {key: value for point in self.points() for key, value in point.metrics.items()}

    def close(self, path: Path) -> None:
        """Write the merged points to `path`, without their attempts, so that a kill leaves no trace."""
        lines = [msgspec.json.encode({"step": p.step, **p.metrics}) + b"\n" for p in self.points()]
        write_atomically(path, b"".join(lines))


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
