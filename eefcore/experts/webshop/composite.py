"""Write the scripted shoppers' thoughts and calls as composite actions (Agent Q Appendix A), and read them back.

A thought and the call that follows from it are one action. Later calls of the same thought, as the choice of a
product's options, have a short thought of their own: the longer thought stands in the actions that are remembered.
"""

from __future__ import annotations

from eefcore.actions import CONTINUE, DONE, ActionParts, command, format_action, is_thought, thought
from eefcore.experts.webshop.shopper import Shopper
from eefcore.experts.webshop.view import BACK, NEXT, read_call, write_call
from eefcore.types import History, Mistake

PLAN = "search, judge, open, choose, buy."
THEN = "Then "
OK = "OK"

_EXPLANATION_OF_CALL = {"search": "Searched.", "Finish": "Finished."}
_EXPLANATION_OF_BUTTON = {**dict.fromkeys(NEXT, "Turned the page."), BACK: "Went back.", "Buy Now": "Bought."}


def composite_action(thought: str, call: str, *, first: bool, status: bool = False) -> str:
    """Return the composite action of a thought, which may be empty, and the call that follows from it.

    With `status` it says whether the call ends the task (Fig. 4).
    """
    name, argument = read_call(call)
    explanation = _EXPLANATION_OF_CALL.get(name) or _EXPLANATION_OF_BUTTON.get(argument, "Clicked.")
    ends = DONE if name == "Finish" or argument == "Buy Now" else CONTINUE
    words = thought or f"{THEN}{argument or 'that'}."
    return format_action(ActionParts(words, call, explanation, PLAN if first else "", ends if status else ""))


def to_composite(history: History) -> History:
    """Return the same history in composite actions; a thought that no call follows yet is left out."""
    out, pending = history.at(0), ""
    for i, step in enumerate(history.steps, start=1):
        if is_thought(step.action):
            pending = read_call(step.action)[1]
            continue
        action = composite_action(pending, step.action, first=not out.steps)
        out, pending = out.then(action, history.at(i).observation), ""
    return out


def to_calls(history: History) -> History:
    """Return the same history in thoughts and calls; a thought that only says `Then …` was none of the shopper's."""
    out = history.at(0)
    for i, step in enumerate(history.steps, start=1):
        words = thought(step.action)
        if words and not words.startswith(THEN):
            out = out.then(write_call("Think", words), OK)
        out = out.then(command(step.action), history.at(i).observation)
    return out


class CompositeShopper:
    """A shopper that thinks and acts in one composite action."""

    def __init__(self, shopper: Shopper, *, status: bool = False) -> None:
        self.name, self._shopper, self._status = shopper.name, shopper, status

    def act(self, history: History) -> str:
        """Return a_t."""
        _, thought, call = self._decide(history)
        return composite_action(thought, call, first=not history.steps, status=self._status)

    def mistakes(self, history: History) -> tuple[Mistake, ...]:
        """Return the mistakes in a_t: those of its thought, or of the earlier thought that it follows from."""
        before, thought, _ = self._decide(history)
        found = self._shopper.mistakes(before)
        if thought:
            found += self._shopper.mistakes(before.then(write_call("Think", thought), OK))
        return tuple(Mistake(len(history), kind) for kind in dict.fromkeys(m.kind for m in found))

    def _decide(self, history: History) -> tuple[History, str, str]:
        """Return the history in thoughts and calls, the shopper's thought there (or ""), and its call."""
        before = to_calls(history)
        action = self._shopper.act(before)
        if not is_thought(action):
            return before, "", action
        return before, read_call(action)[1], self._shopper.act(before.then(action, OK))
