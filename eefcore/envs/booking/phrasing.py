"""The words in which users of the booking site ask: two sets of phrasings, of which agents are trained in one.

A phrasing is a clause with gaps; a request joins one of each kind that it needs. No clause is in both sets.
"""

from __future__ import annotations

import msgspec


class Phrasing(msgspec.Struct, frozen=True, kw_only=True):
    """Clauses by what they say. Those of the same kind say the same in other words."""

    book: tuple[str, ...]  # place, party, day, time
    change: tuple[str, ...]  # place, old (day and time), new
    cancel: tuple[str, ...]  # place, old
    named: tuple[str, ...]  # restaurant, city
    described: tuple[str, ...]  # price, cuisine, district, city
    new_time: tuple[str, ...]  # time
    new_day: tuple[str, ...]  # day
    new_party: tuple[str, ...]  # party
    seating: dict[str, tuple[str, ...]]
    any_seating: tuple[str, ...]
    nearest: tuple[str, ...]
    contact: tuple[str, ...]  # name, phone, email
    contact_without_phone: tuple[str, ...]  # name, email


SEEN_PHRASING = Phrasing(
    book=(
        "Book a table at {place} for {party} {day} at {time}.",
        "Please reserve a table for {party} at {place} {day}, {time}.",
        "I need a reservation at {place} {day} at {time} for {party}.",
    ),
    change=(
        "Change my reservation at {place} ({old}): {new}.",
        "Please move my booking at {place} ({old}): {new}.",
    ),
    cancel=(
        "Cancel my reservation at {place} ({old}).",
        "Please cancel my table at {place} ({old}).",
    ),
    named=("{restaurant} in {city}",),
    described=("the only {price} {cuisine} restaurant of {district} in {city}",),
    new_time=("make it {time}",),
    new_day=("make it {day}",),
    new_party=("make it for {party}",),
    seating={
        "Indoor": ("I want to sit indoors.",),
        "Outdoor": ("I want to sit outdoors.",),
        "Bar": ("I want to sit at the bar.",),
    },
    any_seating=("Any kind of seating is fine.", "I don't mind where we sit."),
    nearest=(
        "If that time is taken, book the nearest one on that day, the earlier of two.",
        "If it is not available, take the closest time of the same day, and of two as close the earlier.",
    ),
    contact=(
        "My name is {name}, my phone number is {phone} and my e-mail is {email}.",
        "It is for {name}, phone {phone}, e-mail {email}.",
    ),
    contact_without_phone=(
        "My name is {name} and my e-mail is {email}.",
        "It is for {name}, e-mail {email}.",
    ),
)

UNSEEN_PHRASING = Phrasing(
    book=(
        "Could you get {party} into {place} {day} at {time}?",
        "We would like to eat at {place} {day}, {time}, {party}.",
        "Find us a spot at {place} for {party}: {day}, {time}.",
    ),
    change=(
        "Our plans for {place} ({old}) have changed: {new}.",
        "About the table at {place} ({old}): {new}, please.",
    ),
    cancel=(
        "We can't make it to {place} ({old}); call the table off.",
        "Drop the table at {place} ({old}) for me.",
    ),
    named=("{restaurant}, {city}",),
    described=("the one {cuisine} place with {price} prices in {district}, {city}",),
    new_time=("{time} suits us better",),
    new_day=("we would rather come {day}",),
    new_party=("there will be {party}",),
    seating={
        "Indoor": ("A table inside, please.",),
        "Outdoor": ("A table outside, please.",),
        "Bar": ("Seats at the bar, please.",),
    },
    any_seating=(
        "Sit us wherever there is room.",
        "Inside, outside or at the bar, it is all the same to us.",
    ),
    nearest=(
        "Should that be gone, whatever is nearest in time that day will do; earlier rather than later.",
        "Otherwise go for the least different time that day, before rather than after.",
    ),
    contact=(
        "Put it under {name} ({phone}, {email}).",
        "Guest: {name}. Tel.: {phone}. Mail: {email}.",
    ),
    contact_without_phone=("Put it under {name} ({email}).", "Guest: {name}. Mail: {email}."),
)
