"""The rules of booking: which tables are free at a moment, which days can be booked, and which of two times is nearer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Literal, NamedTuple

from eefcore.envs.booking.clock import at_minute, local_time, minutes
from eefcore.envs.booking.world import SEATINGS, STEP, Restaurant, Slot, World

LARGEST_PARTY = 8

DAYS_AHEAD = 90
"""How far ahead tables can be booked, in days after today."""

TIMES = tuple(map(at_minute, range(11 * 60 + 30, 22 * 60 + 1, STEP)))
"""All times that the site offers to search for, whatever the hours of a restaurant."""


class Availability(NamedTuple):
    """The free slots that are nearest to what is asked for, nearest first, and why they are not just what is asked for."""

    slots: tuple[Slot, ...]
    reason: Literal["", "out of range", "closed", "full", "nearest"] = ""


def today(world: World, moment: dt.datetime, city: str) -> dt.date:
    """Return the day that it is in a city at `moment`."""
    return local_time(moment, world.zones[city]).date()


def can_be_booked(world: World, moment: dt.datetime, restaurant: Restaurant, day: dt.date) -> bool:
    """Return whether `day` is neither past nor too far ahead in the restaurant's city."""
    return 0 <= (day - today(world, moment, restaurant.city)).days <= DAYS_AHEAD


def free_slots(
    world: World, moment: dt.datetime, restaurant: Restaurant, day: dt.date, party: int, seating: str = ""
) -> tuple[Slot, ...]:
    """Return the slots of a day at which a party can still be seated, in the order of the day.

    Args:
        moment: of the frozen clock; what is past in the restaurant's city is not free.
        seating: one kind of seating; empty for any.
    """
    if not can_be_booked(world, moment, restaurant, day):
        return ()
    now = local_time(moment, world.zones[restaurant.city])
    return tuple(
        slot
        for slot, seats in world.seats(restaurant, day).items()
        if seats >= party
        and (not seating or slot.seating == seating)
        and dt.datetime.combine(day, slot.time) > now
    )


def nearest_first(slots: Iterable[Slot], time: dt.time) -> tuple[Slot, ...]:
    """Return slots in the order of nearness to `time`: fewer minutes away first, and of two as near the earlier.

    Agent Q (Appendix B) asks for the closest available slot and leaves the order open. Kinds of seating at one time keep
    the order of `SEATINGS`.
    """
    wanted = minutes(time)
    return tuple(
        sorted(slots, key=lambda s: (abs(minutes(s.time) - wanted), s.time, SEATINGS.index(s.seating)))
    )


def availability(
    world: World,
    moment: dt.datetime,
    restaurant: Restaurant,
    day: dt.date,
    time: dt.time,
    party: int,
    seating: str = "",
) -> Availability:
    """Return the slots for a party that are nearest to `time` on a day; `nearest` if that time itself is not free."""
    if not can_be_booked(world, moment, restaurant, day):
        return Availability((), "out of range")
    if not world.seats(restaurant, day):
        return Availability((), "closed")
    slots = nearest_first(free_slots(world, moment, restaurant, day, party, seating), time)
    if not slots:
        return Availability((), "full")
    return Availability(slots, "" if slots[0].time == time else "nearest")
