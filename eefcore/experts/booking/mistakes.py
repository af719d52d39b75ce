"""The mistakes that a scripted concierge makes on purpose, and the strengths of concierge: how often each makes which.

The paper names what makes its site hard (Agent Q Appendix B: another city, a time that is not available, a kind of seating
that only the user knows) and prints how often its models win, not how they fail. So each of its difficulties is a mistake here,
beside what forms invite: a field that is left as it was, a value that is copied wrongly, a button that is not pressed.
"""

from __future__ import annotations

from typing import NamedTuple

from eefcore.experts.demonstrate import Strength


class Habits(NamedTuple):
    """What a concierge does about its own mistakes."""

    notices: float
    """The share of visits in which it reads what it is about to reserve, and goes back if the day or the party is wrong."""


class MistakeRates(NamedTuple):
    """The probability of each mistake in a visit where there is an occasion for it; a mark in a trajectory has the same name.

    A mistake is a belief that is kept through the visit, as a model that has misread a request goes on with what it has read.

    Attributes:
        overlook_city: looks for the restaurant in the city that the site starts in.
        wrong_restaurant: opens the first restaurant that is listed, though another one is described.
        wrong_reservation: changes or cancels another reservation than the one that is named.
        wrong_day: books the day after the one that is asked for.
        wrong_party: leaves the size of the party as the page has it.
        wrong_time: leaves the time as the page has it.
        ignore_seating: leaves the kind of seating open, though the user names one.
        assume_seating: does not ask the user for the kind of seating, and takes any.
        farther_time: takes another than the nearest time where the time is sold out.
        give_up: ends the visit where the time is sold out.
        invent_phone: does not ask the user for a phone number, and writes one of its own.
        mistype: leaves out a letter or digit of the guest's name, phone number or e-mail. Drawn for each of them.
        stop_early: ends the visit instead of completing the reservation.
        leave_dialog: tries to scroll past a banner or an offer that covers the page. Drawn for each turn.
    """

    overlook_city: float = 0.0
    wrong_restaurant: float = 0.0
    wrong_reservation: float = 0.0
    wrong_day: float = 0.0
    wrong_party: float = 0.0
    wrong_time: float = 0.0
    ignore_seating: float = 0.0
    assume_seating: float = 0.0
    farther_time: float = 0.0
    give_up: float = 0.0
    invent_phone: float = 0.0
    mistype: float = 0.0
    stop_early: float = 0.0
    leave_dialog: float = 0.0


NO_MISTAKES, NO_HABITS = MistakeRates(), Habits(notices=0.0)

STRENGTHS = {
    "strong": Strength(
        Habits(notices=0.3),
        MistakeRates(
            overlook_city=0.27,
            wrong_restaurant=0.25,
            wrong_reservation=0.12,
            wrong_day=0.11,
            wrong_party=0.06,
            wrong_time=0.06,
            ignore_seating=0.13,
            assume_seating=0.38,
            farther_time=0.25,
            give_up=0.13,
            invent_phone=0.25,
            mistype=0.012,
            stop_early=0.05,
            leave_dialog=0.25,
        ),
        0.03,
    ),
    "weak": Strength(
        Habits(notices=0.1),
        MistakeRates(
            overlook_city=0.7,
            wrong_restaurant=0.65,
            wrong_reservation=0.4,
            wrong_day=0.35,
            wrong_party=0.28,
            wrong_time=0.3,
            ignore_seating=0.45,
            assume_seating=0.85,
            farther_time=0.55,
            give_up=0.4,
            invent_phone=0.65,
            mistype=0.09,
            stop_early=0.35,
            leave_dialog=0.6,
        ),
        0.001,
    ),
    "perfect": Strength(NO_HABITS, NO_MISTAKES, 0.0),
    "naive": Strength(
        NO_HABITS,
        MistakeRates(
            overlook_city=0.8,
            wrong_party=0.3,
            wrong_time=0.3,
            ignore_seating=0.6,
            assume_seating=0.8,
            farther_time=0.5,
            give_up=0.3,
        ),
        0.0,
    ),
}
"""The scripted concierges by name; a price is nominal, in dollars an action.

strong    stands where GPT-4o stands in Agent Q: its rates are fitted to the win rate of §6
weak      stands where Llama-3-70B stands before it is trained, thirty times cheaper, fitted in the same way
perfect   makes no mistakes, and shows that the tasks can be solved
naive     can fill in forms, and mostly overlooks what makes a task hard; what the tiny base knows
"""
