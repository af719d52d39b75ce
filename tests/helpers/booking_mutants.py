"""Near misses of a booking: bookings that differ from the right ones in one thing, which no grader may let pass."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from msgspec.structs import replace

from eefcore.envs.booking.clock import at_minute, minutes
from eefcore.envs.booking.records import Booking
from eefcore.envs.booking.tasks import Task
from eefcore.envs.booking.world import SEATINGS

Bookings = tuple[Booking, ...]


def right_bookings(task: Task) -> Bookings:
    """Return the bookings that stand after a visit in which all was done rightly."""
    target = task.goal.target
    if target is None:
        return task.goal.stays
    return (*task.goal.stays, replace(target, seating=target.seating or SEATINGS[0]))


def near_misses(task: Task) -> Iterator[tuple[str, Bookings]]:
    """Yield what is wrong, and the bookings that stand then: at least eight for every task that books or changes."""
    goal, right = task.goal, right_bookings(task)
    if goal.target is None:
        yield "not cancelled", (*goal.stays, goal.leaves)
    else:
        for wrong, booking in _wrong_bookings(right[-1], task):
            yield wrong, (*goal.stays, booking)
        yield "booked twice", (*right, right[-1])
        yield "a second table", (*right, replace(right[-1], day=right[-1].day + dt.timedelta(1)))
        yield "not completed", (*goal.stays, *([goal.leaves] if goal.leaves else []))
        if goal.leaves:
            yield "the old one is left", (*right, goal.leaves)
    for stay in goal.stays:
        others = tuple(b for b in right if b != stay)
        yield "another one cancelled", others
        yield "another one changed", (*others, replace(stay, party=stay.party % 8 + 1))
    if not goal.stays:
        yield (
            "one more",
            (*right, replace(goal.leaves or goal.target, party=8, seating="Bar", time=dt.time(11))),
        )


def _wrong_bookings(right: Booking, task: Task) -> Iterator[tuple[str, Booking]]:
    guest = right.guest
    yield "day before", replace(right, day=right.day - dt.timedelta(1))
    yield "a week later", replace(right, day=right.day + dt.timedelta(7))
    yield "a year later", replace(right, day=right.day + dt.timedelta(365))
    yield "a quarter later", replace(right, time=at_minute(minutes(right.time) + 15))
    yield "twelve hours away", replace(right, time=at_minute((minutes(right.time) + 720) % 1440))
    yield "one guest more", replace(right, party=right.party + 1)
    yield "restaurant", replace(right, restaurant=right.restaurant + "-2")
    yield "name", replace(right, guest=replace(guest, name=guest.name.split()[0]))
    yield (
        "phone",
        replace(right, guest=replace(guest, phone=guest.phone[:-1] + str((int(guest.phone[-1]) + 1) % 10))),
    )
    yield "e-mail", replace(right, guest=replace(guest, email=guest.email.replace(".com", ".org")))
    if task.goal.target and task.goal.target.seating:
        yield "seating", replace(right, seating=next(s for s in SEATINGS if s != right.seating))
    if task.asked and task.asked != right.time:
        yield "the time that was taken", replace(right, time=task.asked)
