"""What an address of the booking site asks for, read from its parameters as typed values, and written back as a link.

Every page is reached by a GET that changes nothing, so an address holds all of what is asked for. A parameter that can't be
read counts as not given: an address never fails on its parameters.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from eefcore.envs.booking.tables import LARGEST_PARTY
from eefcore.envs.booking.world import SEATINGS

SORTS = ("Most stars", "Lowest price", "Name")


class TableQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The table that is asked for on a restaurant's page; tables are shown once a time is asked for."""

    day: dt.date
    time: dt.time | None = None
    party: int = 2
    seating: str = ""  # empty for any
    changes: int | None = None  # the number of the reservation that is changed

    @classmethod
    def read(cls, given: Mapping[str, str], today: dt.date) -> TableQuery:
        """Return what the parameters of an address, or the fields of a form, ask for; the day is `today` if they name none."""
        return cls(
            day=_read(_near_day, given.get("date")) or today,
            time=_read(_short_time, given.get("time")),
            party=_read(int, given.get("party"), range(1, LARGEST_PARTY + 1)) or 2,
            seating=_read(str, given.get("seating"), SEATINGS) or "",
            changes=_read(int, given.get("change"), range(1, 10**6)),
        )

    def at_slot(self, text: str) -> TableQuery:
        """Return this query at a slot in a text like `19:15 Indoor`; without a time if the text names none."""
        time, _, seating = text.partition(" ")
        slot = self.read({"time": time, "seating": seating}, self.day)
        return msgspec.structs.replace(self, time=slot.time, seating=slot.seating)

    def path(self, slug: str, page: str = "", **other: Any) -> str:
        """Return the address of a restaurant's page that asks for this table, or for one that differs in `other`."""
        query = msgspec.structs.replace(self, **other)
        given = {
            "date": query.day.isoformat(),
            "time": query.time and f"{query.time:%H:%M}",
            "party": query.party,
            "seating": query.seating,
            "change": query.changes,
        }
        return f"/r/{slug}{page}?{_encode(given)}"


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The restaurants that are searched for in the city of the session."""

    words: str = ""
    cuisine: str = ""
    district: str = ""
    price: int = 0  # 0 for any
    sort: str = SORTS[0]
    page: int = 1

    @classmethod
    def read(cls, given: Mapping[str, str]) -> SearchQuery:
        """Return what the parameters of an address search for."""
        return cls(
            words=" ".join(given.get("q", "").split())[:100],
            cuisine=given.get("cuisine", ""),
            district=given.get("district", ""),
            price=_read(int, given.get("price"), range(1, 5)) or 0,
            sort=_read(str, given.get("sort"), SORTS) or SORTS[0],
            page=_read(int, given.get("page"), range(1, 1000)) or 1,
        )

    def path(self, **other: Any) -> str:
        """Return the address of the results of this search, or of one that differs in `other`."""
        query = msgspec.structs.replace(self, **other)
        given = {
            "q": query.words,
            "cuisine": query.cuisine,
            "district": query.district,
            "price": query.price or "",
            "sort": query.sort if query.sort != SORTS[0] else "",
            "page": query.page if query.page > 1 else "",
        }
        return f"/search?{_encode(given)}"


def local_path(address: str) -> str:
    """Return an address if it is a path of this site, and the home page otherwise: no form leads anywhere else."""
    plain = address.startswith("/") and not address.startswith("//") and "\\" not in address
    return address if plain and address.isascii() and address.isprintable() else "/"


def _encode(given: Mapping[str, object]) -> str:
    return urlencode({name: value for name, value in given.items() if value not in (None, "")}, safe=":")


def _near_day(text: str) -> dt.date:
    """Return the day in a text like 2024-05-22; a day of another century can't be read, so that calculations stay in range."""
    day = dt.date.fromisoformat(text)
    if not 2000 <= day.year < 2100:
        raise ValueError(f"{day} is of another century")
    return day


def _short_time(text: str) -> dt.time:
    """Return the time of day in a text like 19:15."""
    return dt.datetime.strptime(text, "%H:%M").time()


def _read(parse: Any, text: str | None, allowed: Any = None) -> Any:
    """Return a parameter as a value; None if it is not given, can't be read, or is none of those `allowed`."""
    if not text or len(text) > 20:
        return None
    try:
        value = parse(text)
    except ValueError:
        return None
    return value if allowed is None or value in allowed else None
