"""Cities, restaurants and free tables of the booking site: a world that never changes, drawn from a seed.

What an episode changes is in `envs.booking.database`; what is free depends on the world alone. So a snapshot of an episode
holds a few rows, and equal seeds show equal tables on every machine.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import NamedTuple

import msgspec

from eefcore.envs.booking.clock import at_minute, minutes
from eefcore.envs.booking.words import CUISINES, CityName, Vocabulary

SEATINGS = ("Indoor", "Outdoor", "Bar")

STEP = 15
"""Minutes between two times at which a table can be booked."""

SEATS = (0, 2, 4, 6, 8)
_SEAT_WEIGHTS = (0.3, 0.1, 0.15, 0.15, 0.3)
"""How many seats are free at a time, and how often; 0 is sold out."""


class City(msgspec.Struct, frozen=True):
    """A city with its own time zone."""

    name: str
    zone: str


class Restaurant(msgspec.Struct, frozen=True, kw_only=True):
    """A restaurant: its address on the site, what search filters know of it, and when and where guests sit."""

    slug: str  # its address on the site: osteria-vela
    name: str
    city: str
    cuisine: str
    district: str
    price: int  # 1 to 4, shown as dollar signs
    stars: float
    seatings: tuple[str, ...]
    opens: dt.time
    last: dt.time  # the last time at which a table can be booked
    closed_on: tuple[int, ...]  # days of the week, Monday is 0

    @property
    def dollars(self) -> str:
        """The price as dollar signs."""
        return "$" * self.price

    @property
    def times(self) -> tuple[dt.time, ...]:
        """The times at which a table can be booked on a day when it is open."""
        return tuple(map(at_minute, range(minutes(self.opens), minutes(self.last) + 1, STEP)))


class Slot(NamedTuple):
    """A table that can be booked: a time of a day, and where guests sit."""

    time: dt.time
    seating: str


class World(msgspec.Struct, frozen=True, dict=True):
    """All cities and restaurants, and the seed that decides which tables are free."""

    cities: tuple[City, ...]
    restaurants: tuple[Restaurant, ...]
    seed: int

    @cached_property
    def by_slug(self) -> Mapping[str, Restaurant]:
        """Restaurants by their address on the site."""
        return {restaurant.slug: restaurant for restaurant in self.restaurants}

    @cached_property
    def zones(self) -> Mapping[str, str]:
        """Time zones by the name of the city."""
        return {city.name: city.zone for city in self.cities}

    @cached_property
    def digest(self) -> str:
        """Eight hex digits that stand for this world on an environment card."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:8]

    def in_city(self, city: str) -> tuple[Restaurant, ...]:
        """Return the restaurants of a city, the most stars first."""
        found = (restaurant for restaurant in self.restaurants if restaurant.city == city)
        return tuple(sorted(found, key=lambda r: (-r.stars, r.name)))

    def seats(self, restaurant: Restaurant, day: dt.date) -> Mapping[Slot, int]:
        """Return the free seats of each slot of a day, in the order of the day; none on a day when it is closed."""
        return _seats(self.seed, restaurant, day)


def make_world(vocabulary: Vocabulary, *, cities: int, restaurants: int, seed: int) -> World:
    """Draw a world of that many cities with that many restaurants each; no two restaurants share a name."""
    rng = random.Random(f"booking world {seed} {vocabulary.names[0]}")
    full_names = [
        (f"{first} {second}", cuisine)
        for cuisine, firsts in CUISINES.items()
        for first in firsts
        for second in vocabulary.names
    ]
    drawn = iter(rng.sample(full_names, cities * restaurants))
    return World(
        tuple(City(*city) for city in vocabulary.cities[:cities]),
        tuple(
            _restaurant(rng, *next(drawn), city, vocabulary)
            for city in vocabulary.cities[:cities]
            for _ in range(restaurants)
        ),
        seed,
    )


def _restaurant(
    rng: random.Random, name: str, cuisine: str, city: CityName, vocabulary: Vocabulary
) -> Restaurant:
    n_seatings = rng.choices((1, 2, 3), (0.3, 0.5, 0.2))[0]
    return Restaurant(
        slug=name.lower().replace("ó", "o").replace(" ", "-"),
        name=name,
        city=city.name,
        cuisine=cuisine,
        district=rng.choice(vocabulary.districts),
        price=rng.randint(1, 4),
        stars=rng.randint(32, 49) / 10,
        seatings=tuple(sorted(rng.sample(SEATINGS, n_seatings), key=SEATINGS.index)),
        opens=rng.choice((dt.time(11, 30), dt.time(12), dt.time(17), dt.time(17, 30))),
        last=rng.choice((dt.time(21), dt.time(21, 30), dt.time(22))),
        closed_on=tuple(rng.choices(((), (0,), (0, 1)), (0.5, 0.3, 0.2))[0]),
    )


@lru_cache(maxsize=4096)
def _seats(seed: int, restaurant: Restaurant, day: dt.date) -> Mapping[Slot, int]:
    if day.weekday() in restaurant.closed_on:
        return {}
    rng = random.Random(f"booking seats {seed} {restaurant.slug} {day.isoformat()}")
    slots = [Slot(time, seating) for time in restaurant.times for seating in restaurant.seatings]
    return dict(zip(slots, rng.choices(SEATS, _SEAT_WEIGHTS, k=len(slots)), strict=True))
