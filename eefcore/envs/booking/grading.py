"""Grade a visit to the booking site exactly, by the rows that stand at its end (Agent Q, Appendix B).

The paper's four criteria, which GPT-4V judged there: date and time, party size, user information, and that the reservation was
completed. Place and seating are part of the request as well, and no other booking may be left: neither a second one, nor a
change to a reservation that the user did not speak of. Only the rows count, so that a wrong booking that was cancelled and
made again rightly wins, and how something was typed does not matter.
"""

from __future__ import annotations

from typing import NamedTuple

from eefcore.envs.booking.records import Booking
from eefcore.envs.booking.tasks import Goal


class Grade(NamedTuple):
    """What is right at the end of a visit; the visit is won if all of it is."""

    day_and_time: bool  # the paper's criterion (1), at the right restaurant
    party: bool  # (2)
    guest: bool  # (3)
    completed: bool  # (4); of a cancellation, that it is cancelled
    seating: bool
    nothing_else: bool  # no other booking is left, and those of before are as they were

    @property
    def reward(self) -> float:
        """R(τ): 1 if all is right, and 0 otherwise."""
        return float(all(self))


def grade(booked: tuple[Booking, ...], goal: Goal) -> Grade:
    """Return the grade of the bookings that stand at the end of a visit."""
    new = list(booked)
    touched = [stay for stay in goal.stays if not _remove(new, stay)]
    if goal.target is None:
        left = [booking for booking in new if booking != goal.leaves]
        return Grade(True, True, True, goal.leaves not in new, True, not touched and not left)
    grades = [_compare(booking, goal.target) for booking in new]
    best = max(grades, key=sum, default=Grade(*[False] * 6))
    return best._replace(nothing_else=not touched and len(new) == 1)


def _compare(booking: Booking, target: Booking) -> Grade:
    return Grade(
        day_and_time=(booking.restaurant, booking.day, booking.time)
        == (target.restaurant, target.day, target.time),
        party=booking.party == target.party,
        guest=booking.guest.key == target.guest.key,
        completed=True,
        seating=target.seating in ("", booking.seating),
        nothing_else=True,
    )


def _remove(bookings: list[Booking], one: Booking) -> bool:
    """Remove a booking from a list; return whether it was there."""
    if one not in bookings:
        return False
    bookings.remove(one)
    return True
