"""A scripted concierge that books through the pages as a person would: the proof that each task of the booking site can be solved.

It knows what the user says and what the user answers when asked, and reads everything else on the page; of the world, and of
which tables are free, it knows nothing. Each action follows from the present page and from what it has asked before.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping

from eefcore.envs.booking.clock import say_day, say_time
from eefcore.envs.booking.looks import LABELS, Labels
from eefcore.envs.booking.records import Booking
from eefcore.envs.booking.tasks import Task
from eefcore.envs.booking.world import Restaurant, World
from eefcore.experts.booking.view import Control, View, read_observation
from eefcore.types import History, Mistake

ASK_SEATING = "ASK USER HELP [Where would you like to sit: indoors, outdoors or at the bar?]"
ASK_PHONE = "ASK USER HELP [What is your phone number?]"
DOWN, UP = "SCROLL [DOWN]", "SCROLL [UP]"


class Concierge:
    """A scripted concierge without mistakes, h_t -> a_t: an `eefcore.experts.demonstrate.ScriptedExpert`.

    Args:
        tasks: by id, what it believes that the user wants.
        worlds: by their digest, where it looks up how a restaurant is called or described.
    """

    def __init__(
        self, tasks: Mapping[str, Task], worlds: Mapping[str, World], *, name: str = "perfect"
    ) -> None:
        self.name = name
        self._tasks, self._worlds = tasks, worlds

    def act(self, history: History) -> str:
        """Return a_t."""
        task = self._tasks[history.task_id]
        booking = task.goal.target or task.goal.leaves
        assert booking is not None
        restaurant = self._worlds[task.world].by_slug[booking.restaurant]
        return _Errand(task, restaurant, read_observation(history.observation), history.actions).next_action()

    def mistakes(self, history: History) -> tuple[Mistake, ...]:
        """Return none: it makes no mistakes."""
        return ()


class _Errand:
    """What a user wants, and the page that the concierge sees on the way to it."""

    def __init__(self, task: Task, restaurant: Restaurant, view: View, actions: tuple[str, ...]) -> None:
        self.task, self.restaurant, self.view, self.actions = task, restaurant, view, actions
        self.labels: Labels = LABELS[task.setting.look.labels]

    def next_action(self) -> str:
        """Return what to do on the page that is seen."""
        labels, view = self.labels, self.view
        if dialog := view.find(labels.refuse_cookies, labels.close_offer):
            return _click(dialog)
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
            case ["reservations"]:
                return self._reservations()
            case ["reservations", _, "cancel"]:
                return self._press(labels.confirm_cancel)
            case ["reservations", _]:
                return self._press(labels.finish)
        return "GOTO [/]"

    def _home(self) -> str:
        city, labels = self.restaurant.city, self.labels
        if not self.view.title.endswith(f" in {city}"):
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
        for control in self.view.controls:
            if control.kind == "link" and self._is_wanted(control.label):
                return _click(control)
        if (following := self.view.find(self.labels.next_page)) is not None:
            return _click(following)
        return DOWN if self.view.more else "GOTO [/]"

    def _is_wanted(self, card: str) -> bool:
        """Return whether a card of the results is that of the restaurant which the user names or describes."""
        r = self.restaurant
        if "described" in self.task.factors:
            return f" ({r.cuisine}, {r.dollars}, {r.district}, " in card
        return card.startswith(f"{r.name} (")

    def _restaurant(self) -> str:
        target = self._target
        if move := self._to_day(target.day):
            return move
        if "ask seating" in self.task.factors and ASK_SEATING not in self.actions:
            return ASK_SEATING
        assert self.task.asked is not None
        labels = self.labels
        people = f"{target.party} {labels.people[target.party > 1]}"
        seating = target.seating or labels.any_seating
        for label, value in (
            (labels.party, people),
            (labels.time, say_time(self.task.asked)),
            (labels.seating, seating),
        ):
            field = self.view.find(label)
            if field is not None and field.held != value:
                return f"TYPE [{field.id}] [{value}]"
        wanted = {"time": f"{self.task.asked:%H:%M}", "party": str(target.party), "seating": target.seating}
        if any(self.view.query.get(name, "") != value for name, value in wanted.items()):
            return self._press(labels.find_table)
        slot = next(filter(_is_slot, self.view.controls), None)  # the nearest comes first
        return _click(slot) if slot else self._scroll()

    def _to_day(self, day: dt.date) -> str:
        """Return the action that leads to another day; empty on the right one."""
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
        day = self._target.day
        shown = self.view.query["date"][:7]
        if shown == f"{day:%Y-%m}":
            return self._press(f"{day:%a} {day.day}")
        return self._press(self.labels.next_month if shown < f"{day:%Y-%m}" else self.labels.previous_month)

    def _details(self) -> str:
        guest, labels = self.task.guest, self.labels
        for label, value in (
            (labels.name, guest.name),
            (labels.phone, guest.phone),
            (labels.email, guest.email),
        ):
            field = self.view.find(label)
            if field is None:
                return self._scroll()
            if field.held != value:
                hidden = label == labels.phone and "ask phone" in self.task.factors
                if hidden and ASK_PHONE not in self.actions:
                    return ASK_PHONE
                return f"TYPE [{field.id}] [{value}]"
        return self._press(labels.complete, labels.complete_change)

    def _reservations(self) -> str:
        old = self.task.goal.leaves
        assert old is not None
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

    def _press(self, *labels: str) -> str:
        """Return a click on a control, or the scroll towards it."""
        control = self.view.find(*labels)
        return _click(control) if control else self._scroll()

    def _scroll(self) -> str:
        return DOWN if self.view.more else UP


def _is_slot(control: Control) -> bool:
    """Return whether a control is the button of a free table, as `7:15 PM Indoor`."""
    return control.kind == "button" and re.match(r"\d+:\d\d [AP]M ", control.label) is not None


def _click(control: Control) -> str:
    return f"CLICK [{control.id}]"


def _submit(control: Control) -> str:
    return f"SUBMIT [{control.id}]"
