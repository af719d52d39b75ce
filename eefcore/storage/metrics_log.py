"""The numbers that the attempts of a stage logged, as one attempt would have logged them."""

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
    """What was logged at once: numbers of one `step` of a curve, or of the whole stage."""

    attempt: int
    step: int | None
    metrics: dict[str, Metric]


class MetricsLog:
    """A line a point at `path` while a stage is at work; what counts of them is written when it is done."""

    def __init__(self, path: Path, attempt: int) -> None:
        self.path, self.attempt = path, attempt
        if path.exists():
            self._mend()

    def add(self, metrics: Mapping[str, Any], step: int | None) -> dict[str, Metric]:
        """The numbers as they were kept."""
        kept = {key: _plain(key, value) for key, value in metrics.items()}
        line = msgspec.json.encode({"attempt": self.attempt, "step": step, **kept}) + b"\n"
        append_bytes(self.path, line, sync=False)
        return kept

    def points(self) -> list[Point]:
        """All that counts of all attempts."""
        lines = (
            [json.loads(line) for line in read_bytes(self.path).splitlines()] if self.path.exists() else []
        )
        return merge_attempts([Point(line.pop("attempt"), line.pop("step"), line) for line in lines])

    def latest(self) -> dict[str, Metric]:
        """The last value of each key."""
        return {key: value for point in self.points() for key, value in point.metrics.items()}

    def close(self, path: Path) -> None:
        """Write at `path` what counts, without saying which attempt said it: a kill leaves no trace."""
        lines = [msgspec.json.encode({"step": p.step, **p.metrics}) + b"\n" for p in self.points()]
        write_atomically(path, b"".join(lines))

    def _mend(self) -> None:
        """Cut off the line that a killed attempt was writing."""
        truncate(self.path, read_bytes(self.path).rfind(b"\n") + 1)


def merge_attempts(points: Sequence[Point]) -> list[Point]:
    """`points` of all attempts as one attempt would have logged them, each key once a step.

    A curve continues over a kill (training resumes from a checkpoint, and logs anew what came after it),
    so of a step the last value counts. Values of the whole stage are those of the last attempt alone.
    """
    last_attempt = max((p.attempt for p in points), default=0)
    kept = [p for p in points if p.step is not None or p.attempt == last_attempt]
    last = {(p.step, key): i for i, p in enumerate(kept) for key in p.metrics}
    thinned = [
        p._replace(metrics={k: v for k, v in p.metrics.items() if last[p.step, k] == i})
        for i, p in enumerate(kept)
    ]
    return [p for p in thinned if p.metrics]


def _plain(key: str, value: Any) -> Metric:
    """A number or a word as JSON knows it; a number that is not finite is None."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if abs(number) < float("inf") else None
    raise TypeError(f"{key}: expected a number, got {value!r}; give tensors as `.item()`")
