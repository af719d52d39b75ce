"""How users name a day: by its date, or by its distance from today in the restaurant's city."""

from __future__ import annotations

import datetime as dt
import random
from typing import NamedTuple

from eefcore.envs.booking.clock import say_day


class NamedDay(NamedTuple):
    """A day and the words for it, which begin with a preposition where they need one."""

    day: dt.date
    words: str


def by_date(day: dt.date) -> NamedDay:
    """Return a day under its date."""
    return NamedDay(day, f"on {say_day(day)}")


def draw_near(rng: random.Random, today: dt.date) -> NamedDay:
    """Draw one of the next two weeks' days, named by its date."""
    return by_date(today + dt.timedelta(rng.randint(1, 14)))


def draw_far(rng: random.Random, today: dt.date) -> NamedDay:
    """Draw a day of a later month, at most two months ahead, named by its date."""
    first = (today.replace(day=1) + dt.timedelta(32)).replace(day=1)
    earliest = max((first - today).days, 21)
    return by_date(today + dt.timedelta(rng.randint(earliest, max(earliest, 60))))


def draw_relative(rng: random.Random, today: dt.date) -> NamedDay:
    """Draw a day that is named by its distance from today; a weekday is the first of that name after today."""
    ahead = rng.randint(1, 10)
    day = today + dt.timedelta(ahead)
    names = {1: "tomorrow", 2: "the day after tomorrow", 7: "a week from today"}
    words = [names.get(ahead, f"in {ahead} days")]
    if ahead < 7:
        words.append(f"this coming {day:%A}")
    return NamedDay(day, rng.choice(words))
