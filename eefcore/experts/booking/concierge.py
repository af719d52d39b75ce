"""Scripted concierges that book through the pages as a person would, some of which make mistakes on purpose.

A concierge knows what the user says and what the user answers when asked, and reads everything else on the page; of the world,
and of which tables are free, it knows nothing. Each action follows from the present page and from what was seen and asked before.
The one without mistakes is the proof that each task can be solved. Mistakes are explicit (`experts.booking.mistakes`), drawn from
a seed and the task, and marked in the trajectory.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Callable, Iterator, Mapping

from eefcore.envs.booking.clock import say_day, say_time
from eefcore.envs.booking.looks import LABELS, Labels
from eefcore.envs.booking.records import Booking
from eefcore.envs.booking.tasks import Task
from eefcore.envs.booking.world import Restaurant, World
from eefcore.experts.booking.mistakes import NO_HABITS, NO_MISTAKES, Habits, MistakeRates
from eefcore.experts.booking.view import Control, read_observation
from eefcore.types import History, Mistake

ASK_SEATING = "ASK USER HELP [Where would you like to sit: indoors, outdoors or at the bar?]"
ASK_PHONE = "ASK USER HELP [What is your phone number?]"
NO_PHONE = "202-555-0100"
"""What is written in place of a phone number that nobody said."""

DOWN, UP = "SCROLL [DOWN]", "SCROLL [UP]"


class Concierge:
    """A scripted concierge, h_t -> a_t: a function of the history alone, so that it can start from any state.

    Equal seeds make equal mistakes.

    Args:
        tasks: by id, what it believes that the user wants.
        worlds: by their digest, where it looks up how a restaurant is called or described.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        worlds: Mapping[str, World],
        *,
        name: str = "perfect",
        habits: Habits = NO_HABITS,
        rates: MistakeRates = NO_MISTAKES,
        seed: int = 0,
    ) -> None:
        self.name, self.habits, self.rates, self.seed = name, habits, rates, seed
        self._tasks, self._worlds = tasks, worlds

    def act(self, history: History) -> str:
        """Return a_t."""
        return self._decide(history)[0]

    def mistakes(self, history: History) -> tuple[Mistake, ...]:
        """Return the mistakes in a_t: those without which it would be another action."""
        return tuple(Mistake(len(history), mistake) for mistake in self._decide(history)[1])

    def _decide(self, history: History) -> tuple[str, tuple[str, ...]]:
        """Return a_t and the mistakes in it."""
        task = self._tasks[history.task_id]
        errand = _Errand(task, self._worlds[task.world], history, self._draws(history))
        return errand.next_action(), tuple(dict.fromkeys(errand.made))

    def _draws(self, history: History) -> Callable[[str, str], bool]:
        """Return the function that draws, once for each visit, a mistake or a habit about something."""
        # Experts of one strength with other rates draw the same numbers, so that a sweep over a rate compares like with like.
        key = f"{self.name.partition('?')[0]}|{self.seed}|{history.task_id}"
        rates = {**self.habits._asdict(), **self.rates._asdict()}
        return lambda what, about: (
            rates[what] > 0 and random.Random(f"{key}|{what}|{about}").random() < rates[what]
        )


class _Errand:
    """What a user wants, as the concierge understands it, and the page that it sees on the way to it.

    Attributes:
        made: the mistakes in the action that was returned.
    """

    def __init__(self, task: Task, world: World, history: History, draws: Callable[[str, str], bool]) -> None:
        self.task, self.view, self.actions = task, read_observation(history.observation), history.actions
        self.labels: Labels = LABELS[task.setting.look.labels]
        self.made: list[str] = []
        self._draws = draws
        self._old = self._reservation_to_touch()
        booking = task.goal.target or self._old
        assert booking is not None
        place = self._old if self._old not in (None, task.goal.leaves) else booking
        self.restaurant: Restaurant = world.by_slug[place.restaurant]
        seen = (*(step.observation for step in history.steps), history.observation)
        self._reads_again = draws("notices", "") and any(" | /details/" in page for page in seen)

    def next_action(self) -> str:
        """Return what to do on the page that is seen."""
        labels, view = self.labels, self.view
        if dialog := view.find(labels.refuse_cookies, labels.close_offer):
            return DOWN if self._makes("leave_dialog", str(len(self.actions))) else _click(dialog)
        match view.path.strip("/").split("/"):
            case [""]:
                return self._home() if self.task.kind == "book" else self._press(labels.my_reservations)
            case ["search"]:
                return self._results()
            case ["r", _]:
                return self._restaurant()
            case ["r", _, "calendar"]:
                return self._calendar()
            case ["details", _]:
                return self._details()
            case ["reservations"] if self._old is not None:
                return self._reservations()
            case ["reservations", _, "cancel"] if self.task.kind == "cancel":
                return self._press(labels.confirm_cancel)
            case ["reservations", _]:
                return self._press(labels.finish)
        return "GOTO [/]"

    # Mistakes ---------------------------------------------------------------------------------------------

    def _makes(self, mistake: str, about: str = "") -> bool:
        """Return whether it makes a mistake, and note it as one in the present action."""
        made = self._draws(mistake, about)
        self.made += [mistake] * made
        return made

    def _believes(self, mistake: str) -> bool:
        """Return whether it still holds what a mistake made it believe: until it has noticed."""
        return self._draws(mistake, "") and not self._reads_again

    def _reservation_to_touch(self) -> Booking | None:
        """Return the reservation that is to be changed or cancelled, or the one that it takes for it."""
        right = self.task.goal.leaves
        others = [booking for booking in self.task.setting.reservations if booking != right]
        return others[0] if right and others and self._draws("wrong_reservation", "") else right

    # Pages ------------------------------------------------------------------------------------------------

    def _home(self) -> str:
        city, labels = self.restaurant.city, self.labels
        if not self.view.title.endswith(f" in {city}") and not self._makes("overlook_city"):
            select = self.view.find(labels.city)
            if select is None:
                return self._scroll()
            return f"TYPE [{select.id}] [{city}]" if select.held != city else self._press(labels.change_city)
        field = self.view.find(labels.find_restaurant)
        if field is None:
            return self._scroll()
        words = self._words()
        return f"TYPE [{field.id}] [{words}]" if field.held != words else _submit(field)

    def _words(self) -> str:
        """What is searched for: the name that the user says, or the cuisine and the district that they describe."""
        r = self.restaurant
        return f"{r.cuisine} {r.district}" if "described" in self.task.factors else r.name

    def _results(self) -> str:
        cards = [c for c in self.view.controls if c.kind == "link" and " stars)" in c.label]
        wanted = next((card for card in cards if self._is_wanted(card.label)), None)
        if (
            "described" in self.task.factors
            and cards[:1] != [wanted]
            and cards
            and self._makes("wrong_restaurant")
        ):
            return _click(cards[0])
        if wanted is not None:
            return _click(wanted)
        if (following := self.view.find(self.labels.next_page)) is not None:
            return _click(following)
        if similar := self.view.after("## Did you mean"):
            return _click(similar[0])
        return DOWN if self.view.more else self._press(self.labels.finish)

    def _is_wanted(self, card: str) -> bool:
        """Return whether a card of the results is that of the restaurant which the user names or describes."""
        r = self.restaurant
        if "described" in self.task.factors:
            return f" ({r.cuisine}, {r.dollars}, {r.district}, " in card
        return card.startswith(f"{r.name} (")

    def _restaurant(self) -> str:
        if move := self._to_day(self._day):
            return move
        if (
            "ask seating" in self.task.factors
            and ASK_SEATING not in self.actions
            and not self._makes("assume_seating")
        ):
            return ASK_SEATING
        wanted: dict[str, str] = {}
        for name, label, shown, value, mistake in self._table():
            field = self.view.find(label)
            if field is not None and field.held != shown:
                if not self._believes(mistake):
                    return f"TYPE [{field.id}] [{shown}]"
                self.made.append(mistake)
            elif not self._believes(mistake):
                wanted[name] = value
        query = self.view.query
        if "time" not in query or any(query.get(name, "") != value for name, value in wanted.items()):
            return self._press(self.labels.find_table)
        return self._take_slot()

    def _table(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Yield what to ask the site for: its name in the address, its label, what the field shows and sends, and the mistake."""
        target, labels = self._target, self.labels
        assert self.task.asked is not None
        seating = target.seating if self.view.title.startswith(f"{self.restaurant.name},") else ""
        if "ask seating" in self.task.factors and ASK_SEATING not in self.actions:
            seating = ""
        yield "party", labels.party, self._people, str(target.party), "wrong_party"
        yield "time", labels.time, say_time(self.task.asked), f"{self.task.asked:%H:%M}", "wrong_time"
        yield "seating", labels.seating, seating or labels.any_seating, seating, "ignore_seating"

    def _take_slot(self) -> str:
        """Return a click on the nearest free table, or another one; end the visit where there is none."""
        slots = [control for control in self.view.controls if _is_slot(control)]
        notice = next((line for line in self.view.text if line.startswith("NOTICE ")), "")
        if " is not available. " in notice:
            if self._makes("give_up"):
                return self._press(self.labels.finish)
            farther = [slot for slot in slots if _time(slot) != _time(slots[0])]
            if farther and self._makes("farther_time"):
                return _click(farther[0])
        elif notice and not slots:
            return self._press(self.labels.finish)
        return _click(slots[0]) if slots else self._scroll()

    def _to_day(self, day: dt.date) -> str:
        """Return the action that leads to another day; empty on the right one."""
        if self.view.query.get("date") == day.isoformat():
            return ""
        shown = next((line for line in self.view.text if line.startswith("Date: ")), "")
        if shown == f"Date: {say_day(day)}":
            return ""
        if not shown:
            return self._scroll()
        for label, away in ((self.labels.next_day, 1), (self.labels.previous_day, -1)):
            if shown == f"Date: {say_day(day - dt.timedelta(away))}":
                return self._press(label)
        return self._press(self.labels.calendar)

    def _calendar(self) -> str:
        day = self._day
        shown = self.view.query["date"][:7]
        if shown == f"{day:%Y-%m}":
            return self._press(f"{day:%a} {day.day}", f"{day:%a} {day.day} closed")
        return self._press(self.labels.next_month if shown < f"{day:%Y-%m}" else self.labels.previous_month)

    def _details(self) -> str:
        guest, labels = self.task.guest, self.labels
        if self._reads_again and not self._reserves_what_is_asked:
            return self._press(labels.other_time)
        for label, value in (
            (labels.name, guest.name),
            (labels.phone, guest.phone),
            (labels.email, guest.email),
        ):
            field = self.view.find(label)
            if field is None:
                return self._scroll()
            if label == labels.phone and "ask phone" in self.task.factors and ASK_PHONE not in self.actions:
                if field.held != NO_PHONE and not self._makes("invent_phone"):
                    return ASK_PHONE
                written = NO_PHONE
            else:
                written = value[1:] if field.held != value and self._makes("mistype", label) else value
            if field.held != written:
                return f"TYPE [{field.id}] [{written}]"
            self.made.clear()
        finish = self._makes("stop_early")
        return self._press(labels.finish) if finish else self._press(labels.complete, labels.complete_change)

    @property
    def _reserves_what_is_asked(self) -> bool:
        """Whether the details page is about the day and the party that the user asks for."""
        table = f"{say_day(self._target.day)}, ", f", {self._people}, "
        return any(line.startswith(table[0]) and table[1] in line for line in self.view.text)

    def _reservations(self) -> str:
        old = self._old
        assert old is not None
        self.made += ["wrong_reservation"] * (old != self.task.goal.leaves)
        heading = f"## {self.restaurant.name}, {self.restaurant.city}"
        people = self.labels.people[old.party > 1]
        line = f"{say_day(old.day)}, {say_time(old.time)}, {old.party} {people}, {old.seating}"
        if f"{line}, cancelled" in self.view.text:
            return self._press(self.labels.finish)
        label = self.labels.change if self.task.kind == "change" else self.labels.cancel
        for control in self.view.after(heading, line):
            if control.label == label:
                return _click(control)
        return self._scroll()

    @property
    def _target(self) -> Booking:
        target = self.task.goal.target
        assert target is not None
        return target

    @property
    def _day(self) -> dt.date:
        """The day that it looks for a table on."""
        day = self._target.day
        if not self._believes("wrong_day"):
            return day
        self.made.append("wrong_day")
        return day + dt.timedelta(1)

    @property
    def _people(self) -> str:
        """The size of the party as the site says it."""
        party = self._target.party
        return f"{party} {self.labels.people[party > 1]}"

    def _press(self, *labels: str) -> str:
        """Return a click on a control, or the scroll towards it."""
        control = self.view.find(*labels)
        return _click(control) if control else self._scroll()

    def _scroll(self) -> str:
        return DOWN if self.view.more else UP


def _is_slot(control: Control) -> bool:
    """Return whether a control is the button of a free table, as `7:15 PM Indoor`."""
    return control.kind == "button" and re.match(r"\d+:\d\d [AP]M ", control.label) is not None


def _time(slot: Control) -> str:
    """Return the time on the button of a free table."""
    return slot.label.rpartition(" ")[0]


def _click(control: Control) -> str:
    return f"CLICK [{control.id}]"


def _submit(control: Control) -> str:
    return f"SUBMIT [{control.id}]"
