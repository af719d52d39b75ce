"""Tasks: frozen by content, solvable in their world, and unlike those of another split."""

import datetime as dt
from collections import Counter
from itertools import chain

import msgspec
import pytest

from eefcore.envs.booking.clock import local_time
from eefcore.envs.booking.tables import availability
from eefcore.envs.booking.tasks import FULL, MINI, draw_tasks, make_sources
from eefcore.errors import DataError
from eefcore.instructions import instruction_key

SOURCES = make_sources(cities=8, restaurants=30, mix=FULL, seed=0)
TASKS = {split: draw_tasks(source, 200, seed=0, split=split) for split, source in SOURCES.items()}
ALL = [*chain.from_iterable(TASKS.values())]


def restaurants(split):
    return {
        booking.restaurant
        for task in TASKS[split]
        for booking in (task.goal.target, task.goal.leaves, *task.goal.stays)
        if booking
    }


def test_equal_seeds_draw_equal_tasks_and_more_of_them_begin_with_the_same():
    again = make_sources(cities=8, restaurants=30, mix=FULL, seed=0)
    for split, source in again.items():
        assert draw_tasks(source, 50, seed=0, split=split) == TASKS[split][:50]
    assert draw_tasks(SOURCES["train"], 50, seed=1, split="train") != TASKS["train"][:50]


def test_an_id_is_a_hash_of_the_content():
    assert len({task.id for task in ALL}) == len(ALL)
    task = ALL[0]
    again = msgspec.json.decode(msgspec.json.encode(task), type=type(task))
    assert again == task and again.id == task.id
    assert msgspec.structs.replace(task, world="another").id != task.id


def test_no_two_tasks_ask_for_the_same():
    assert len({instruction_key(task.instruction) for task in ALL}) == len(ALL)


def test_splits_have_no_restaurant_in_common_and_test_no_city_phrasing_or_look():
    train, dev, test = map(restaurants, SOURCES)
    assert not train & dev and not (train | dev) & test
    seen, unseen = SOURCES["train"], SOURCES["test"]
    assert not {c.name for c in seen.world.cities} & {c.name for c in unseen.world.cities}
    assert seen.look.theme != unseen.look.theme and seen.look.labels != unseen.look.labels
    words = [msgspec.to_builtins(source.phrasing) for source in (seen, unseen)]
    clauses = [{str(c) for field in of.values() for c in _leaves(field)} for of in words]
    assert not clauses[0] & clauses[1]


def _leaves(value):
    return chain.from_iterable(value.values()) if isinstance(value, dict) else value


def test_every_factor_is_drawn_and_enough_tasks_have_several():
    counts = Counter(factor for task in ALL for factor in task.factors)
    assert counts.keys() == FULL.keys() and min(counts.values()) >= 20
    assert Counter(task.kind for task in ALL).keys() == {"book", "change", "cancel"}


@pytest.mark.parametrize("split", SOURCES)
def test_the_target_is_what_the_user_asked_for_or_the_nearest_that_is_free(split):
    world = SOURCES[split].world
    for task in TASKS[split]:
        if (target := task.goal.target) is None:
            continue
        restaurant = world.by_slug[target.restaurant]
        found = availability(
            world, task.setting.moment, restaurant, target.day, task.asked, target.party, target.seating
        )
        assert found.slots[0].time == target.time
        assert ("sold out" in task.factors) == (target.time != task.asked)
        assert target.seating in ("", *restaurant.seatings)


def test_a_relative_day_counts_from_today_in_the_restaurants_city():
    named = {"tomorrow": 1, "the day after tomorrow": 2, "a week from today": 7} | {
        f"in {n} days": n for n in range(1, 11)
    }
    checked = 0
    for split, source in SOURCES.items():
        for task in TASKS[split]:
            target = task.goal.target
            if target is None or "relative day" not in task.factors:
                continue
            zone = source.world.zones[source.world.by_slug[target.restaurant].city]
            today = local_time(task.setting.moment, zone).date()
            said = [n for words, n in named.items() if f" {words}" in f" {task.instruction}".replace("the day after tomorrow", "the day after tomorrow" if n == 2 else "-")]  # fmt: skip
            if said:
                assert (target.day - today).days in said
                checked += 1
            else:
                ahead = (target.day - today).days
                assert f"this coming {target.day:%A}" in task.instruction and 1 <= ahead <= 6
    assert checked > 50


def test_what_is_to_be_asked_is_not_said():
    for task in ALL:
        target = task.goal.target
        if "ask phone" in task.factors:
            assert task.guest.phone not in task.instruction
        elif task.kind == "book":
            assert task.guest.phone in task.instruction
        if "ask seating" in task.factors:
            assert target.seating
            assert not any(
                word in task.instruction.lower()
                for word in ("indoor", "outdoor", "inside", "outside", " bar.", "bar,")
            )


def test_the_site_starts_elsewhere_only_where_the_factor_says_so():
    for split, source in SOURCES.items():
        for task in TASKS[split]:
            target = task.goal.target or task.goal.leaves
            city = source.world.by_slug[target.restaurant].city
            assert (task.setting.city != city) == ("other city" in task.factors)


def test_the_clock_stands_at_any_time_of_day_and_in_both_halves_of_the_year():
    moments = [task.setting.moment for task in ALL]
    assert {m.hour for m in moments} == {*range(24)}
    assert {m.month for m in moments} == {*range(1, 13)} and all(m.tzinfo is dt.UTC for m in moments)


def test_the_mini_mix_draws_bookings_alone():
    source = make_sources(cities=3, restaurants=10, mix=MINI, seed=0)["train"]
    tasks = draw_tasks(source, 100, seed=0, split="train")
    assert {factor for task in tasks for factor in task.factors} == MINI.keys()


def test_more_tasks_than_there_are_is_an_error_that_says_so():
    source = make_sources(cities=1, restaurants=2, mix={"sold out": 1.0}, seed=0)["train"]
    empty = source._replace(
        restaurants=(msgspec.structs.replace(source.restaurants[0], closed_on=(*range(7),)),)
    )
    with pytest.raises(
        DataError, match="3 train tasks of the booking site: only 0 were found; ask for fewer"
    ):
        draw_tasks(empty, 3, seed=0, split="train")
