"""The two looks of the booking site: a theme, and the words on its links, buttons and fields.

Agents are trained in one look and tested in the other, so that what they learned is the task and not a label.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from eefcore.envs.booking.records import Look


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """The words on links, buttons and fields."""

    brand: str
    city: str
    change_city: str
    my_reservations: str
    finish: str
    find_restaurant: str
    search: str
    cuisine: str
    district: str
    price: str
    sort: str
    apply: str
    next_page: str
    previous_page: str
    party: str
    time: str
    seating: str
    any_seating: str
    previous_day: str
    next_day: str
    calendar: str
    previous_month: str
    next_month: str
    find_table: str
    name: str
    phone: str
    email: str
    complete: str
    complete_change: str
    other_time: str
    change: str
    cancel: str
    confirm_cancel: str
    keep: str
    accept_cookies: str
    refuse_cookies: str
    close_offer: str
    people: tuple[str, str]  # one, many


TABLES = Labels(
    brand="Supperlane",
    city="City",
    change_city="Change city",
    my_reservations="My reservations",
    finish="Finish visit",
    find_restaurant="Restaurant, cuisine or district",
    search="Search",
    cuisine="Cuisine",
    district="District",
    price="Price",
    sort="Sort by",
    apply="Apply filters",
    next_page="Next page",
    previous_page="Previous page",
    party="Party size",
    time="Time",
    seating="Seating",
    any_seating="No preference",
    previous_day="Previous day",
    next_day="Next day",
    calendar="Calendar",
    previous_month="Previous month",
    next_month="Next month",
    find_table="Find a table",
    name="Full name",
    phone="Phone",
    email="Email",
    complete="Complete reservation",
    complete_change="Complete change",
    other_time="Choose another time",
    change="Change",
    cancel="Cancel",
    confirm_cancel="Cancel reservation",
    keep="Keep reservation",
    accept_cookies="Accept all cookies",
    refuse_cookies="Only necessary cookies",
    close_offer="No, thanks",
    people=("person", "people"),
)
COVERS = Labels(
    brand="Platebook",
    city="Location",
    change_city="Go",
    my_reservations="Your bookings",
    finish="I am done",
    find_restaurant="What are you in the mood for?",
    search="Look it up",
    cuisine="Kitchen",
    district="Neighborhood",
    price="Budget",
    sort="Order",
    apply="Update list",
    next_page="More restaurants",
    previous_page="Back to earlier restaurants",
    party="Guests",
    time="Hour",
    seating="Where to sit",
    any_seating="Anywhere",
    previous_day="Day before",
    next_day="Day after",
    calendar="Pick a date",
    previous_month="Earlier month",
    next_month="Later month",
    find_table="Check availability",
    name="Your name",
    phone="Telephone number",
    email="E-mail address",
    complete="Book this table",
    complete_change="Save the new booking",
    other_time="Back to the times",
    change="Modify",
    cancel="Call off",
    confirm_cancel="Yes, call it off",
    keep="No, go back",
    accept_cookies="Fine by me",
    refuse_cookies="Essentials only",
    close_offer="Dismiss",
    people=("guest", "guests"),
)
LABELS = {"tables": TABLES, "covers": COVERS}

SEEN_LOOK = Look("harbor", "tables")
UNSEEN_LOOK = Look("orchard", "covers")
LOOKS: dict[Literal["seen", "unseen"], Look] = {"seen": SEEN_LOOK, "unseen": UNSEEN_LOOK}
"""The look in which agents are trained, and the one that is held out for tests."""
