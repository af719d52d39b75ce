"""Thoughts and calls as composite actions (Agent Q Appendix A), for a shop's scripted experts.

    composed     a dialogue of thoughts and calls -> one of composite actions
    parted       the way back, so that a shopper can go on from anywhere
    Composed     a shopper that writes composite actions

A thought and the call that it leads to are one action. Later calls of one thought, as the options of a product, have a
short one of their own: what follows from the thought before stands in the actions that are remembered.
"""

from __future__ import annotations

from eefcore.actions import ActionParts, command, format_action, is_thought, thought
from eefcore.experts.webshop.shopper import Shopper
from eefcore.experts.webshop.view import call, called
from eefcore.types import History, Mistake

PLAN = "search, judge, open, choose, buy."
THEN = "Then "
OK = "OK"

_DONE = {"search": "Searched.", "Finish": "Finished."}
_CLICKED = {
    "Next >": "Turned the page.",
    "Next": "Turned the page.",
    "Back to Search": "Went back.",
    "Buy Now": "Bought.",
}


def composite(said: str, called_for: str, *, first: bool) -> str:
    """The composite action of a thought, if there is one, and the call that it leads to."""
    name, argument = called(called_for)
    done = _DONE.get(name) or _CLICKED.get(argument, "Clicked.")
    return format_action(
        ActionParts(said or f"{THEN}{argument or 'that'}.", called_for, done, PLAN if first else "")
    )


def composed(history: History) -> History:
    """The same history in composite actions; a thought that nothing follows yet is left out."""
    out, pending = history.at(0), ""
    for i, step in enumerate(history.steps, start=1):
        if is_thought(step.action):
            pending = called(step.action)[1]
            continue
        action = composite(pending, step.action, first=not out.steps)
        out, pending = out.then(action, history.at(i).observation), ""
    return out


def parted(history: History) -> History:
    """The same history in thoughts and calls. What was only `Then …` was no thought of the shopper's."""
    out = history.at(0)
    for i, step in enumerate(history.steps, start=1):
        said = thought(step.action)
        if said and not said.startswith(THEN):
            out = out.then(call("Think", said), OK)
        out = out.then(command(step.action), history.at(i).observation)
    return out


class Composed:
    """`shopper`, thinking and acting in one."""

    def __init__(self, shopper: Shopper) -> None:
        self.name, self._shopper = shopper.name, shopper

    def act(self, history: History) -> str:
        """a_t."""
        _, said, action = self._turn(history)
        return composite(said, action, first=not history.steps)

    def marks(self, history: History) -> tuple[Mistake, ...]:
        """The slips behind a_t: of its thought, or of what an earlier thought led to."""
        before, said, _ = self._turn(history)
        found = self._shopper.marks(before)
        if said:
            found += self._shopper.marks(before.then(call("Think", said), OK))
        return tuple(Mistake(len(history), kind) for kind in dict.fromkeys(m.kind for m in found))

    def _turn(self, history: History) -> tuple[History, str, str]:
        """Where the shopper stands, what it thinks there, if it does, and what it calls."""
        before = parted(history)
        action = self._shopper.act(before)
        if not is_thought(action):
            return before, "", action
        return before, called(action)[1], self._shopper.act(before.then(action, OK))
