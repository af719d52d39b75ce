"""Tasks of the booking site, drawn from a seed: what the user asks for, how the site is set up, and what must be booked at the end.

Agent Q (Appendix B) makes its queries "by combining the restaurant name, desired date and time, and user information". A task here
also has factors that make it harder, each drawn on its own:

    other city      the site starts in another city than the restaurant's
    described       the restaurant is described and not named
    sold out        the time is not free, and the nearest one has to be taken
    relative day    the day is named by its distance from today
    far day         the day is in a later month
    ask seating     the user wants one kind of seating and does not say which
    ask phone       the user does not say their phone number
    cookie banner   a banner covers the site until it is answered
    offer           a popup covers restaurants' pages until it is closed
    booked before   the visitor has another reservation, which must stay
    change          a reservation is to be changed
    cancel          a reservation is to be cancelled

Train and dev tasks are of one world, with different restaurants; test tasks have cities, restaurants, guests, phrasings
and a look of their own. A task's id is the hash of its content and of its world.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from eefcore.envs.booking import days
from eefcore.envs.booking.clock import local_time, say_day, say_time
from eefcore.envs.booking.looks import SEEN_LOOK, UNSEEN_LOOK
from eefcore.envs.booking.phrasing import SEEN_PHRASING, UNSEEN_PHRASING, Phrasing
from eefcore.envs.booking.records import Booking, Guest, Look, Setting
from eefcore.envs.booking.tables import LARGEST_PARTY, availability
from eefcore.envs.booking.words import SEEN, UNSEEN, Vocabulary
from eefcore.envs.booking.world import Restaurant, World, make_world
from eefcore.errors import DataError
from eefcore.instructions import instruction_key

Factor = Literal[
    "other city",
    "described",
    "sold out",
    "relative day",
    "far day",
    "ask seating",
    "ask phone",
    "cookie banner",
    "offer",
    "booked before",
    "change",
    "cancel",
]

Mix = Mapping[Factor, float]
"""The probability of each factor; 0 for those that are left out."""

FULL: Mix = {
    "other city": 0.4,
    "described": 0.15,
    "sold out": 0.35,
    "relative day": 0.3,
    "far day": 0.15,
    "ask seating": 0.3,
    "ask phone": 0.1,
    "cookie banner": 0.3,
    "offer": 0.25,
    "booked before": 0.15,
    "change": 0.1,
    "cancel": 0.05,
}
MINI: Mix = {"other city": 0.3, "sold out": 0.35, "ask seating": 0.3, "cookie banner": 0.2, "offer": 0.2}

_FITTING: dict[Factor, set[Factor]] = {
    "cancel": {"cancel", "cookie banner", "booked before"},
    "change": {
        "change", "sold out", "relative day", "far day", "cookie banner", "offer", "booked before",
    },
}  # fmt: skip
"""The factors that can make a cancellation, and a change, harder; all of them can make a booking so."""


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be booked when the visit ends: the target, beside the reservations that stay, and nothing else.

    Attributes:
        target: the booking to make, or that a reservation has to become; None if one is only to be cancelled. An empty
            seating stands for any.
        stays: bookings of before that must not be touched.
        leaves: the booking of before that is changed or cancelled.
    """

    target: Booking | None
    stays: tuple[Booking, ...] = ()
    leaves: Booking | None = None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A user's request, the site in which it is met, and what only the user or the grader knows."""

    instruction: str
    setting: Setting
    goal: Goal
    asked: dt.time | None  # the time that the user asked for; the target's is another if it is sold out
    factors: tuple[Factor, ...]
    guest: Guest
    world: str  # the digest of its world

    @property
    def id(self) -> str:
        """Twelve hex digits of the hash of the task's content."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]

    @property
    def kind(self) -> str:
        """What is to be done: book, change or cancel."""
        return next((kind for kind in ("change", "cancel") if kind in self.factors), "book")


class Source(NamedTuple):
    """Where the tasks of a split are drawn from: a world and some of its restaurants, phrasings and a look."""

    world: World
    restaurants: tuple[Restaurant, ...]
    vocabulary: Vocabulary
    phrasing: Phrasing
    look: Look
    mix: Mix


def make_sources(*, cities: int, restaurants: int, mix: Mix, seed: int) -> dict[str, Source]:
    """Return the sources of train, dev and test, which have no restaurant in common; test has no word of train either.

    A fifth of the first world's restaurants is dev's.
    """
    seen, unseen = (
        make_world(vocabulary, cities=cities, restaurants=restaurants, seed=seed)
        for vocabulary in (SEEN, UNSEEN)
    )
    shuffled = list(seen.restaurants)
    random.Random(f"booking dev {seed}").shuffle(shuffled)
    n_dev = max(1, len(shuffled) // 5)
    return {
        "train": Source(seen, tuple(shuffled[n_dev:]), SEEN, SEEN_PHRASING, SEEN_LOOK, mix),
        "dev": Source(seen, tuple(shuffled[:n_dev]), SEEN, SEEN_PHRASING, SEEN_LOOK, mix),
        "test": Source(unseen, unseen.restaurants, UNSEEN, UNSEEN_PHRASING, UNSEEN_LOOK, mix),
    }


def draw_tasks(source: Source, n: int, *, seed: int, split: str) -> list[Task]:
    """Draw `n` tasks of which no two ask for the same; the first tasks are the same for any larger `n`.

    Raises:
        DataError: there are too few restaurants and days for so many.
    """
    rng = random.Random(f"booking tasks {seed} {split}")
    tasks: dict[str, Task] = {}
    for _ in range(100 * n):
        if len(tasks) == n:
            break
        if (task := draw_task(rng, source)) is not None:
            tasks.setdefault(instruction_key(task.instruction), task)
    if len(tasks) < n:
        raise DataError(f"{n} {split} tasks of the booking site: only {len(tasks)} were found; ask for fewer")
    return list(tasks.values())


def draw_task(rng: random.Random, source: Source) -> Task | None:
    """Draw a task; None if what was drawn can't be had, such as a sold-out time where all are free."""
    return _Drawing(rng, source).task()


class _Drawing:
    """One task while it is drawn."""

    def __init__(self, rng: random.Random, source: Source) -> None:
        self.rng, self.source, self.world = rng, source, source.world
        drawn = {factor for factor, probability in source.mix.items() if rng.random() < probability}
        for kind, fitting in _FITTING.items():
            if kind in drawn:
                drawn &= fitting
        if "relative day" in drawn:
            drawn -= {"far day"}
        self.factors = drawn
        self.restaurant = rng.choice(source.restaurants)
        self.moment = _draw_moment(rng)
        self.today = local_time(self.moment, self.world.zones[self.restaurant.city]).date()
        self.guest = _draw_guest(rng, source.vocabulary)
        self.stays: tuple[Booking, ...] = ()

    def task(self) -> Task | None:
        if "booked before" in self.factors:
            others = [r for r in self.source.restaurants if r != self.restaurant]
            other = self._earlier(self.rng.choice(others))
            self.stays = (other,) if other else ()
            if not other:
                return None
        if "cancel" in self.factors:
            return self._cancellation()
        return self._change() if "change" in self.factors else self._booking()

    # The three kinds --------------------------------------------------------------------------------------

    def _booking(self) -> Task | None:
        seating = self._draw_seating()
        party = self._draw_party()
        day, time = self._draw_day(), self._draw_time()
        target = self._target(day.day, time, party, seating)
        place = self._describe() if "described" in self.factors else self._name()
        if target is None or not place:
            return None
        phrasing = self.source.phrasing
        clauses = [
            self._say(phrasing.book, place=place, party=_people(party), day=day.words, time=say_time(time)),
            self._say_seating(seating),
            self._say(phrasing.nearest),
            self._say_contact(),
        ]
        return self._finished(" ".join(filter(None, clauses)), Goal(target=target, stays=self.stays), time)

    def _change(self) -> Task | None:
        old = self._earlier(self.restaurant)
        if old is None:
            return None
        phrasing = self.source.phrasing
        new_day = self.factors & {"relative day", "far day"}
        what = "day" if new_day else self.rng.choice(("time", "day", "party"))
        day, time, party = days.by_date(old.day), old.time, old.party
        if what == "time":
            time = self._draw_time()
            new = self._say(phrasing.new_time, time=say_time(time))
        elif what == "day":
            day = self._draw_day()
            new = self._say(phrasing.new_day, day=day.words)
        else:
            party = self._draw_party()
            new = self._say(phrasing.new_party, party=_people(party))
        target = self._target(day.day, time, party, old.seating)
        if target is None or (day.day, time, party) == (old.day, old.time, old.party):
            return None
        clauses = (
            self._say(phrasing.change, place=self._name(), old=_when(old), new=new),
            self._say(phrasing.nearest),
        )
        return self._finished(" ".join(clauses), Goal(target=target, stays=self.stays, leaves=old), time)

    def _cancellation(self) -> Task | None:
        old = self._earlier(self.restaurant)
        if old is None:
            return None
        text = self._say(self.source.phrasing.cancel, place=self._name(), old=_when(old))
        return self._finished(text, Goal(target=None, stays=self.stays, leaves=old), None)

    def _finished(self, instruction: str, goal: Goal, asked: dt.time | None) -> Task:
        cities = [c.name for c in self.world.cities if c.name != self.restaurant.city]
        elsewhere = "other city" in self.factors and cities
        before = [*self.stays, *([goal.leaves] if goal.leaves else [])]
        self.rng.shuffle(before)
        setting = Setting(
            moment=self.moment,
            city=self.rng.choice(cities) if elsewhere else self.restaurant.city,
            look=self.source.look,
            cookie_banner="cookie banner" in self.factors,
            offer="offer" in self.factors,
            reservations=tuple(before),
        )
        return Task(
            instruction=instruction,
            setting=setting,
            goal=goal,
            asked=asked,
            factors=tuple(factor for factor in FULL if factor in self.factors),
            guest=self.guest,
            world=self.world.digest,
        )

    # What is drawn ----------------------------------------------------------------------------------------

    def _draw_seating(self) -> str:
        """Draw the kind of seating that the user wants, empty for any; where there is only one kind nobody asks for it."""
        if len(self.restaurant.seatings) == 1:
            self.factors -= {"ask seating"}
            return ""
        wanted = "ask seating" in self.factors or self.rng.random() < 0.5
        return self.rng.choice(self.restaurant.seatings) if wanted else ""

    def _draw_party(self) -> int:
        return self.rng.choices(range(1, LARGEST_PARTY + 1), (1, 6, 3, 5, 2, 2, 1, 1))[0]

    def _draw_day(self) -> days.NamedDay:
        if "relative day" in self.factors:
            return days.draw_relative(self.rng, self.today)
        return (days.draw_far if "far day" in self.factors else days.draw_near)(self.rng, self.today)

    def _draw_time(self) -> dt.time:
        return self.rng.choice([time for time in self.restaurant.times if time.minute in (0, 30)])

    def _target(self, day: dt.date, time: dt.time, party: int, seating: str) -> Booking | None:
        """Return the booking of the nearest free slot; None if it contradicts the factors."""
        found = availability(self.world, self.moment, self.restaurant, day, time, party, seating)
        if not found.slots or (found.reason == "nearest") != ("sold out" in self.factors):
            return None
        return Booking(
            restaurant=self.restaurant.slug,
            day=day,
            time=found.slots[0].time,
            party=party,
            seating=seating,
            guest=self.guest,
        )

    def _earlier(self, restaurant: Restaurant) -> Booking | None:
        """Draw a reservation that the visitor made before."""
        day, party = days.draw_near(self.rng, self.today).day, self._draw_party()
        slots = availability(self.world, self.moment, restaurant, day, dt.time(19), party).slots
        if not slots:
            return None
        time, seating = self.rng.choice(slots[:10])
        return Booking(
            restaurant=restaurant.slug, day=day, time=time, party=party, seating=seating, guest=self.guest
        )

    # Words ------------------------------------------------------------------------------------------------

    def _say(self, clauses: Sequence[str], **gaps: str) -> str:
        return self.rng.choice(clauses).format(**gaps)

    def _name(self) -> str:
        return self._say(
            self.source.phrasing.named, restaurant=self.restaurant.name, city=self.restaurant.city
        )

    def _describe(self) -> str:
        """Return a description that fits no other restaurant of the city; empty if there is none."""
        r = self.restaurant
        alike = [
            other
            for other in self.world.in_city(r.city)
            if (other.price, other.cuisine, other.district) == (r.price, r.cuisine, r.district)
        ]
        if len(alike) > 1:
            return ""
        return self._say(
            self.source.phrasing.described,
            price=r.dollars,
            cuisine=r.cuisine,
            district=r.district,
            city=r.city,
        )

    def _say_seating(self, seating: str) -> str:
        """Return what the user says about seating; nothing if it is to be asked, or if there is only one kind."""
        if "ask seating" in self.factors or len(self.restaurant.seatings) == 1:
            return ""
        phrasing = self.source.phrasing
        return self._say(phrasing.seating[seating] if seating else phrasing.any_seating)

    def _say_contact(self) -> str:
        phrasing = self.source.phrasing
        clauses = phrasing.contact_without_phone if "ask phone" in self.factors else phrasing.contact
        return self._say(clauses, name=self.guest.name, phone=self.guest.phone, email=self.guest.email)


def _draw_moment(rng: random.Random) -> dt.datetime:
    """Draw the moment at which the clock stands still: any quarter of an hour of three years."""
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    return start + dt.timedelta(minutes=15 * rng.randrange(3 * 365 * 24 * 4))


def _draw_guest(rng: random.Random, vocabulary: Vocabulary) -> Guest:
    first, last = rng.choice(vocabulary.first_names), rng.choice(vocabulary.last_names)
    # 555-0100 to 555-0199 are numbers that nobody has.
    phone = f"{rng.randint(201, 989)}-555-01{rng.randint(0, 99):02}"
    return Guest(f"{first} {last}", phone, f"{first}.{last}@example.com".lower())


def _people(n: int) -> str:
    return "one person" if n == 1 else f"{n} people"


def _when(booking: Booking) -> str:
    return f"{say_day(booking.day)}, {say_time(booking.time)}"
