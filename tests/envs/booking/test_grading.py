"""The exact grader: the target wins, near misses lose, and only the rows at the end count."""

import datetime as dt

import pytest
from helpers.booking_mutants import near_misses, right_bookings
from helpers.booking_visitor import ANN, booking
from msgspec.structs import replace

from eefcore.envs.booking.grading import grade
from eefcore.envs.booking.records import Guest
from eefcore.envs.booking.tasks import FULL, Goal, draw_tasks, make_sources

TASKS = [
    task
    for split, source in make_sources(cities=8, restaurants=30, mix=FULL, seed=0).items()
    for task in draw_tasks(source, 150, seed=0, split=split)
]


def test_what_was_asked_for_wins_in_every_order():
    for task in TASKS:
        right = right_bookings(task)
        assert grade(right, task.goal).reward == grade(right[::-1], task.goal).reward == 1.0, task


def test_near_misses_lose():
    """At least eight of each task that books or changes; a cancellation can go wrong in fewer ways."""
    for task in TASKS:
        missed = dict(near_misses(task))
        assert len(missed) >= (2 if task.kind == "cancel" else 8)
        for wrong, bookings in missed.items():
            assert grade(bookings, task.goal).reward == 0.0, (wrong, task)


def test_an_untouched_site_loses():
    for task in TASKS:
        assert grade(task.setting.reservations, task.goal).reward == 0.0
        assert not grade((), replace(task.goal, stays=())).completed or task.kind == "cancel"


@pytest.mark.parametrize(
    "wrong, criterion",
    [
        ({"day": dt.date(2024, 5, 23)}, "day_and_time"),
        ({"time": dt.time(19, 15)}, "day_and_time"),
        ({"restaurant": "osteria-corvo"}, "day_and_time"),
        ({"party": 3}, "party"),
        ({"guest": Guest("Ann", ANN.phone, ANN.email)}, "guest"),
        ({"seating": "Outdoor"}, "seating"),
    ],
)
def test_a_grade_says_which_criterion_is_not_met(wrong, criterion):
    result = grade((booking(**wrong),), Goal(target=booking()))
    assert {name for name, met in result._asdict().items() if not met} == {criterion}


def test_of_several_bookings_the_best_is_graded_and_the_rest_is_too_much():
    result = grade((booking(party=3, day=dt.date(2024, 6, 1)), booking()), Goal(target=booking()))
    assert {name for name, met in result._asdict().items() if not met} == {"nothing_else"}


def test_nothing_booked_meets_no_criterion():
    assert not any(grade((), Goal(target=booking())))


@pytest.mark.parametrize(
    "guest",
    [
        Guest("ann  BO", "(202) 555 0123", "ANN@example.com"),
        Guest(" Ann Bo ", "202.555.0123", " ann@example.com"),
    ],
)
def test_how_a_guest_is_written_does_not_matter(guest):
    assert grade((booking(guest=guest),), Goal(target=booking())).reward == 1.0


def test_any_seating_will_do_where_the_user_has_no_preference():
    for seating in ("Indoor", "Outdoor", "Bar"):
        assert grade((booking(seating=seating),), Goal(target=booking(seating=""))).reward == 1.0
