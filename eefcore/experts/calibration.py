"""Calibrate scripted experts: measure them on training tasks beside the published figures of the experts they stand for.

    play_training_tasks    the trajectories of named experts on training tasks of one world or several
    calibrate              each published figure, ours with its interval, and whether the two agree

Two figures agree if the 95 % interval of their difference holds 0. Both sampling errors count: ours, and that of the paper's
own tasks. The paper prints no spread of a length or a reward; ours stands for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from eefcore.errors import ParamsError
from eefcore.evaluation import stats
from eefcore.evaluation.formatting import percent
from eefcore.evaluation.stats import Estimate, Gap
from eefcore.experts.demonstrate import Demonstrator
from eefcore.experts.published import PUBLISHED, PublishedFigure, Skills
from eefcore.experts.registry import experts_of
from eefcore.protocols import Benchmark
from eefcore.storage.hashing import digest
from eefcore.storage.journal import Journal
from eefcore.types import Trajectory

CHUNK = 50
"""Tasks that are played between two saves."""


class Calibration(NamedTuple):
    """A published figure beside the same quantity of the scripted expert that stands for that expert.

    Attributes:
        expert: the scripted expert's name.
        published: the paper's figure as an estimate, with its sampling error.
        ours: the scripted expert's.
        gap: ours - published, with the interval from the sampling errors of both.
    """

    expert: str
    figure: PublishedFigure
    published: Estimate
    ours: Estimate
    gap: Gap

    @property
    def agrees(self) -> bool:
        """Return whether the gap may be sampling error alone."""
        return self.gap.low <= 0 <= self.gap.high

    @property
    def relative_gap(self) -> float:
        """Return the gap as a multiple of the sampling error in its direction: from -1 to 1 both figures agree."""
        error = self.gap.value - self.gap.low if self.gap.value > 0 else self.gap.high - self.gap.value
        return self.gap.value / error if error else 0.0

    def in_units(self, value: float) -> str:
        """Format a number of the quantity: a share in per cent, a mean in its own units."""
        return percent(value) if self.figure.quantity.share else f"{value:.2f}"


def published_figures(benchmark: Benchmark, name: str) -> tuple[PublishedFigure, ...]:
    """Return the published figures of the expert that a scripted expert of a benchmark stands for, whatever rates it sets.

    Raises:
        ParamsError: none are published.
    """
    card, strength = benchmark.card.name, name.partition("?")[0]
    if (card, strength) not in PUBLISHED:
        choices = ", ".join(strength for of, strength in PUBLISHED if of == card)
        raise ParamsError(
            f"15_calibrate: expert {name!r} of {card} stands for no expert whose figures are published; "
            + (f"choose of {choices}" if choices else "calibrate experts of webshop_mini or sciworld")
        )
    return PUBLISHED[card, strength]


def play_training_tasks(
    worlds: Sequence[Benchmark],
    names: Sequence[str],
    *,
    n: int | None,
    seed: int,
    journal: Callable[[str], Journal[Trajectory]],
    progress: Callable[[int, str], Any],
) -> dict[str, list[Trajectory]]:
    """Return the trajectories of each named expert on training tasks: `n` of each world drawn at random, None all of them.

    Args:
        seed: decides the experts' mistakes; the drawn tasks are always the same.
        journal, progress: a stage's; a killed stage goes on after its last whole chunk.

    Raises:
        ParamsError: an expert of whom nothing is published, worlds that share tasks, or fewer than `n` tasks.
    """
    for name in names:
        published_figures(worlds[0], name)
    drawn = [_draw(world.tasks("train"), n) for world in worlds]
    if len({task for tasks in drawn for task in tasks}) < sum(map(len, drawn)):
        raise ParamsError(
            "15_calibrate: several worlds of this benchmark have the same tasks, which would count twice; set worlds: 1"
        )
    bar = progress(len(names) * sum(map(len, drawn)), "episodes")
    played: dict[str, list[Trajectory]] = {name: [] for name in names}
    for name in names:
        for i, (world, tasks) in enumerate(zip(worlds, drawn, strict=True)):
            play = partial(_play, experts_of(world).demonstrator(world, name, seed=seed), bar)
            played[name] += journal(f"{_file_name(name)}.{i}").run(tasks, CHUNK, play, on_resume=bar)
    return played


def calibrate(benchmark: Benchmark, played: Mapping[str, Sequence[Trajectory]]) -> list[Calibration]:
    """Return each published figure beside the same quantity of an expert's trajectories, by expert, one trajectory a task.

    Raises:
        ParamsError: nothing is published of an expert.
    """
    return [
        _compare(name, trajectories, figure, benchmark.skills)
        for name, trajectories in played.items()
        for figure in published_figures(benchmark, name)
    ]


def _draw(tasks: Sequence[str], n: int | None) -> list[str]:
    """Return the first `n` tasks in the order of a hash of their ids: a random draw, to which a larger `n` only adds."""
    if n is None:
        return list(tasks)
    if n > len(tasks):
        raise ParamsError(
            f"15_calibrate: n {n} training tasks of a world are asked for, and there are {len(tasks)}; "
            "make n smaller, or ask for more in sizes"
        )
    return sorted(tasks, key=lambda task: digest(f"calib{task}"))[:n]


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", name)


def _play(expert: Demonstrator, bar: Callable[[int], Any], tasks: Sequence[str]) -> list[Trajectory]:
    demonstrations = expert.demonstrate(tasks)
    bar(len(tasks))
    return demonstrations


def _compare(name: str, played: Sequence[Trajectory], figure: PublishedFigure, skills: Skills) -> Calibration:
    values = np.array([[figure.quantity.value(t, skills) for t in played]])
    ours = stats.rate(values) if figure.quantity.share else stats.mean(values)
    published = _published_estimate(figure, spread=float(values.std()))
    return Calibration(name, figure, published, ours, stats.independent_difference(ours, published))


def _published_estimate(figure: PublishedFigure, spread: float) -> Estimate:
    """Return a published figure with its sampling error: Wilson's interval of a share, else ± 1.96 spread / √n; none without n."""
    if figure.n is None:
        return Estimate(figure.value, figure.value, figure.value, 0)
    if figure.quantity.share:
        return Estimate(figure.value, *stats.wilson(figure.value * figure.n, figure.n), figure.n)
    half = _QUANTILE * spread / math.sqrt(figure.n)
    return Estimate(figure.value, figure.value - half, figure.value + half, figure.n)


_QUANTILE = 1.96  # of the normal distribution: the ends of a 95 % interval, in standard errors
