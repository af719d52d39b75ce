"""Typed rows of the booking site: guests, bookings, reservations, and what a task fixes of the site that a visitor sees."""

from __future__ import annotations

import datetime as dt
import re
from typing import Literal

import msgspec


class Guest(msgspec.Struct, frozen=True):
    """Who a table is booked for: what Agent Q calls user information."""

    name: str
    phone: str
    email: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The same for two ways to write one guest: letter case and white space, and signs in a phone number, don't matter."""
        return " ".join(self.name.casefold().split()), phone_digits(self.phone), self.email.strip().casefold()


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """A table at a restaurant on a day, for a party of guests."""

    restaurant: str  # its slug
    day: dt.date
    time: dt.time
    party: int
    seating: str
    guest: Guest


class Reservation(msgspec.Struct, frozen=True):
    """A booking under a number, as the visitor finds it among their reservations."""

    id: int
    booking: Booking
    status: Literal["booked", "cancelled"] = "booked"


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A slot that is kept for a visitor while they fill in their details; it commits once."""

    id: int
    restaurant: str
    day: dt.date
    time: dt.time
    party: int
    seating: str
    changes: int | None = None  # the reservation that this slot is to replace

    def booking(self, guest: Guest) -> Booking:
        """Return the booking that this hold becomes for a guest."""
        return Booking(
            restaurant=self.restaurant,
            day=self.day,
            time=self.time,
            party=self.party,
            seating=self.seating,
            guest=guest,
        )


class Draft(msgspec.Struct, frozen=True):
    """A details form as it was last sent and refused: what was typed, and what is wrong with it by field."""

    hold: int
    guest: Guest
    errors: dict[str, str]


class Session(msgspec.Struct, frozen=True):
    """What the site remembers of its visitor."""

    token: str  # the value of the session cookie
    city: str
    cookies_open: bool  # the cookie banner waits for an answer
    offer_open: bool  # so does the popup on restaurants' pages
    finished: bool = False  # the visitor has ended the visit
    draft: Draft | None = None


class Look(msgspec.Struct, frozen=True):
    """How the site looks, and the words on its buttons (`envs.booking.looks`)."""

    theme: str
    labels: str


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """The site as a task sets it up: the frozen clock, the look, the city it starts in, and what is booked already."""

    moment: dt.datetime  # of the frozen clock, in UTC
    city: str
    look: Look
    cookie_banner: bool = False
    offer: bool = False
    reservations: tuple[Booking, ...] = ()


def phone_digits(phone: str) -> str:
    """Return the digits of a phone number."""
    return re.sub(r"[^0-9]", "", phone)
