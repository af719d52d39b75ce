"""The world: equal for equal seeds, two halves without a word in common, free tables that never change."""

import datetime as dt
from itertools import chain

import pytest

from eefcore.envs.booking.words import SEEN, UNSEEN
from eefcore.envs.booking.world import SEATINGS, make_world


@pytest.fixture(scope="module")
def world():
    return make_world(SEEN, cities=8, restaurants=30, seed=0)


def test_equal_seeds_make_equal_worlds(world):
    again, other = (make_world(SEEN, cities=8, restaurants=30, seed=seed) for seed in (0, 1))
    assert again == world and again.digest == world.digest != other.digest


def test_names_and_addresses_are_given_once(world):
    assert len({r.name for r in world.restaurants}) == len(world.by_slug) == 240
    assert all(slug.isascii() and slug == slug.lower() for slug in world.by_slug)


def test_the_unseen_half_has_no_word_of_the_seen_half():
    for field in ("districts", "names", "first_names", "last_names"):
        assert not set(getattr(SEEN, field)) & set(getattr(UNSEEN, field))
    assert not {c.name for c in SEEN.cities} & {c.name for c in UNSEEN.cities}


def test_restaurants_of_a_city_come_with_the_most_stars_first(world):
    for city in world.cities:
        stars = [r.stars for r in world.in_city(city.name)]
        assert len(stars) == 30 and stars == sorted(stars, reverse=True)


def test_tables_are_free_as_the_seed_says_and_none_on_a_closed_day(world):
    days = [dt.date(2024, 5, 20) + dt.timedelta(i) for i in range(7)]
    for restaurant in world.restaurants[:20]:
        for day in days:
            seats = world.seats(restaurant, day)
            assert bool(seats) != (day.weekday() in restaurant.closed_on)
            assert all(slot.seating in restaurant.seatings for slot in seats)
            assert all(restaurant.opens <= slot.time <= restaurant.last for slot in seats)
    again = make_world(SEEN, cities=8, restaurants=30, seed=0)
    assert again.seats(again.restaurants[0], days[3]) == world.seats(world.restaurants[0], days[3])


def test_some_tables_are_sold_out_and_most_are_not(world):
    day = dt.date(2024, 5, 23)
    seats = [*chain.from_iterable(world.seats(r, day).values() for r in world.restaurants)]
    assert 0.25 < seats.count(0) / len(seats) < 0.35


def test_seatings_are_in_one_order(world):
    assert all([*r.seatings] == sorted(r.seatings, key=SEATINGS.index) for r in world.restaurants)
