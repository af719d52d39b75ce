"""The rules of booking: what is free at a moment, the range of days, and the order of nearness."""

import datetime as dt
from itertools import pairwise

from helpers.booking_visitor import MONDAY, SMALL, VELA
from hypothesis import given
from hypothesis import strategies as st

from eefcore.envs.booking.clock import minutes
from eefcore.envs.booking.tables import TIMES, availability, can_be_booked, free_slots, nearest_first, today
from eefcore.envs.booking.world import SEATINGS, Slot

WEDNESDAY = dt.date(2024, 5, 22)
SLOTS = st.lists(st.builds(Slot, st.sampled_from(TIMES), st.sampled_from(SEATINGS)), unique=True)


@given(slots=SLOTS, time=st.sampled_from(TIMES))
def test_the_nearest_time_is_first_and_of_two_the_earlier(slots, time):
    ordered = nearest_first(slots, time)
    assert sorted(ordered) == sorted(slots)
    away = [abs(minutes(s.time) - minutes(time)) for s in ordered]
    assert away == sorted(away)
    assert all(
        a < b or one.time <= other.time for (a, one), (b, other) in pairwise(zip(away, ordered, strict=True))
    )


def test_today_is_that_of_the_city():
    late = dt.datetime(2024, 5, 21, 23, 30, tzinfo=dt.UTC)
    assert today(SMALL, late, "Santa Marina") == dt.date(2024, 5, 21)
    assert today(SMALL, late, "Novigrad Bay") == dt.date(2024, 5, 22)


def test_days_can_be_booked_from_today_to_ninety_days_ahead():
    days = [dt.date(2024, 5, 20) + dt.timedelta(i) for i in (-1, 0, 90, 91)]
    assert [can_be_booked(SMALL, MONDAY, VELA, day) for day in days] == [False, True, True, False]


def test_what_is_past_today_is_not_free():
    evening = dt.datetime(2024, 5, 22, 2, 10, tzinfo=dt.UTC)  # 19:10 of the 21st at Osteria Vela
    day = dt.date(2024, 5, 21)
    before, after = (free_slots(SMALL, moment, VELA, day, 1) for moment in (MONDAY, evening))
    assert after == tuple(slot for slot in before if slot.time > dt.time(19, 10)) != before


def test_a_party_gets_tables_that_are_large_enough_and_of_its_seating():
    seats = SMALL.seats(VELA, WEDNESDAY)
    for party in range(1, 9):
        for seating in ("", "Indoor", "Outdoor", "Bar"):
            expected = tuple(
                s for s, n in seats.items() if n >= party and (not seating or s.seating == seating)
            )
            assert free_slots(SMALL, MONDAY, VELA, WEDNESDAY, party, seating) == expected


def test_availability_says_why():
    def reason(day, party=2, seating=""):
        return availability(SMALL, MONDAY, VELA, day, dt.time(19), party, seating).reason

    assert reason(dt.date(2024, 5, 27)) == "closed"  # a Monday
    assert reason(dt.date(2024, 5, 19)) == "out of range"
    assert reason(WEDNESDAY, seating="Bar") == "full"
    seen = {reason(dt.date(2024, 5, 21) + dt.timedelta(i), seating="Indoor") for i in range(6)}
    assert seen == {"", "nearest"}
