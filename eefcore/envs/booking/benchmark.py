"""Tasks and environments of the booking site: an `eefcore.protocols.Benchmark`, of any size from one parameter."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from eefcore import __version__
from eefcore.envs.booking.env import BookingSite, OpenDriver, SnapshotCache, in_process
from eefcore.envs.booking.tasks import FULL, MINI, Mix, Task, draw_tasks, make_sources
from eefcore.envs.booking.world import World
from eefcore.envs.panels import PanelBenchmark, PanelSizes, panel_sizes
from eefcore.envs.registry import ENTRIES
from eefcore.envs.web.browsing import refusals
from eefcore.errors import DataError, ParamsError, suggest
from eefcore.evaluation.criteria import RESERVATION
from eefcore.evaluation.navigation import skill_from_pattern
from eefcore.protocols import Skill

DRIVERS = ("in_process", "chromium")
"""What a visit is played in: without a browser, or in a real one. Both show the same."""

MOST_TASKS = 100_000
"""Tasks of a panel at most; there are more, and nobody has needed them."""


class Size(NamedTuple):
    """How large the world of a benchmark is, and which factors make its tasks harder."""

    cities: int
    restaurants: int  # in each city
    mix: Mix


SIZES = {"booking": Size(8, 30, FULL), "booking_mini": Size(3, 10, MINI)}
"""The size of each benchmark by its name in a params file."""


class BookingBenchmark(PanelBenchmark[Task]):
    """The tasks of one seed in three panels, through one driver.

    Attributes:
        sources: the world, restaurants, phrasings and look of each split.
        worlds: the worlds of its tasks by their digest. For experts and analysis; no method may see them.
    """

    name = "booking"
    criteria = RESERVATION

    def __init__(
        self,
        size: Size,
        panels: PanelSizes,
        *,
        seed: int = 0,
        max_turns: int,
        driver: str = "in_process",
    ) -> None:
        self.sources = make_sources(cities=size.cities, restaurants=size.restaurants, mix=size.mix, seed=seed)
        drawn = {
            split: draw_tasks(self.sources[split], n, seed=seed, split=split)
            for split, n in panels._asdict().items()
        }
        tasks = {task.id: task for split in drawn.values() for task in split}
        splits = {split: tuple(task.id for task in of) for split, of in drawn.items()}
        super().__init__(
            tasks,
            splits,
            {
                "cities": size.cities,
                "restaurants": size.restaurants,
                "factors": _digest(sorted(size.mix.items())),
                "worlds": _digest([source.world.digest for source in self.sources.values()]),
                "splits": _digest(splits),
                "driver": driver,
                "max_turns": max_turns,
                "eefcore": __version__,
            },
        )
        self.max_turns, self.driver = max_turns, driver
        self.skills: Mapping[str, Skill] = {
            "Ask": skill_from_pattern(r"(?i)^\s*ASK USER HELP\b"),
            "Scroll": skill_from_pattern(r"(?i)^\s*SCROLL\b"),
            "Refused": refusals,
        }
        self.worlds: Mapping[str, World] = {
            source.world.digest: source.world for source in self.sources.values()
        }
        self._cache = SnapshotCache()

    def make(self) -> BookingSite:
        """Make an environment; all of a benchmark share worlds and one cache of snapshots."""
        return BookingSite(self.goals, self.worlds, self._cache, _opener(self.driver))

    def instruction(self, task_id: str) -> str:
        """Return what the user asks for, in words."""
        return self.goal(task_id).instruction


def booking(*, data: str, sizes: str, seed: int, driver: str = "in_process") -> BookingBenchmark:
    """Load tasks in eight cities, with all factors; no `data` is read."""
    return _named("booking", sizes, seed, driver)


def booking_mini(*, data: str, sizes: str, seed: int, driver: str = "in_process") -> BookingBenchmark:
    """Load bookings alone, in three small cities, for tiny models; no `data` is read."""
    return _named("booking_mini", sizes, seed, driver)


def check_options(*, name: str, data: str, sizes: PanelSizes, options: Mapping[str, str]) -> None:
    """Refuse unknown options and drivers, and panels of more tasks than anybody has drawn."""
    if unknown := set(options) - {"driver"}:
        raise ParamsError(
            f"benchmark {name}: no option {min(unknown)!r}; there is driver, as in {name}?driver=chromium"
        )
    driver = options.get("driver", DRIVERS[0])
    if driver not in DRIVERS:
        raise ParamsError(
            f"benchmark {name}: no driver {driver!r}{suggest(driver, DRIVERS) or ';'} choose one of {', '.join(DRIVERS)}"
        )
    if max(sizes) > MOST_TASKS:
        raise DataError(
            f"sizes {'/'.join(map(str, sizes))}: {max(sizes)} tasks are asked for; a panel has at most {MOST_TASKS}"
        )


def _named(name: str, sizes: str, seed: int, driver: str) -> BookingBenchmark:
    return BookingBenchmark(
        SIZES[name], panel_sizes(sizes), seed=seed, max_turns=ENTRIES[name].max_turns, driver=driver
    )


def _opener(driver: str) -> OpenDriver:
    if driver == "in_process":
        return in_process
    from eefcore.envs.web.chromium import open_tab

    return open_tab


def _digest(content: object) -> str:
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:8]
