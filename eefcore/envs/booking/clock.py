"""The only clock of the booking site: a moment that a task fixes, told in the local time of a city.

Nothing else in the package asks for the time, and nothing asks the machine for it; a test reads the sources for other
clocks. Days and times of reservations are local to the restaurant's city, and never converted.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from zoneinfo import ZoneInfo


@lru_cache(maxsize=4096)
def local_time(moment: dt.datetime, zone: str) -> dt.datetime:
    """Return what the clocks of a time zone show at `moment`, without a zone; `moment` is aware, in UTC."""
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def say_day(day: dt.date) -> str:
    """Return a day as the site writes it: Wednesday, May 22, 2024."""
    return f"{day:%A, %B} {day.day}, {day.year}"


def say_time(time: dt.time) -> str:
    """Return a time of day as the site writes it: 7:15 PM."""
    return f"{time.hour % 12 or 12}:{time.minute:02} {'AM' if time.hour < 12 else 'PM'}"


def minutes(time: dt.time) -> int:
    """Return the minutes from midnight to a time of day."""
    return 60 * time.hour + time.minute


def at_minute(minute: int) -> dt.time:
    """Return the time of day that many minutes after midnight."""
    return dt.time(minute // 60, minute % 60)
