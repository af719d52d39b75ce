"""A visit to a site by an agent: texts of actions in, observations out, through any driver."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from eefcore.actions import is_thought
from eefcore.envs.web.actions import Ask, Reason, Refusal, Scroll, command, parse_action
from eefcore.envs.web.driver import Driver, Visit
from eefcore.envs.web.observation import REPLY, USER, Window, window
from eefcore.types import History


class Moment(msgspec.Struct, frozen=True):
    """A moment of a visit, to go back to: where the browser is, the window that is shown, and what it says of the last action."""

    visit: Visit
    window: int = 0
    note: str = ""


class Outcome(NamedTuple):
    """What an action led to: the next observation, why it was refused if it was, and what it asks the user."""

    observation: str
    refused: Reason | None = None
    question: str = ""


class Browsing:
    """An agent in front of a browser. It sees one window of a page at a time.

    A question to the user changes nothing: the environment shows the user's answer with `say`. A thought, as EEF's agents write
    between actions, changes nothing either. With `scripted`, links may lead anywhere (`eefcore.envs.web.actions.command`).
    """

    def __init__(self, driver: Driver, *, scripted: bool = False) -> None:
        self.driver, self._scripted = driver, scripted
        self._number, self._note = 0, ""

    @property
    def window(self) -> Window:
        """The window that the agent sees."""
        return window(self.driver.page, self.driver.address, self._number, self._note)

    @property
    def observation(self) -> str:
        """The text of the window that the agent sees."""
        return self.window.text

    def open(self, address: str = "/") -> str:
        """Go to a path of the site, and return the observation there."""
        self.driver.open(address)
        self._number, self._note = 0, ""
        return self.observation

    def act(self, text: str) -> Outcome:
        """Do what a text says, and return what it led to; any text is answered.

        Raises:
            BrowserError: the browser failed, or the site did not answer as a site should.
        """
        if is_thought(text):
            self._note = ""
            return Outcome(self.observation)
        action = parse_action(text)
        match action:
            case Refusal():
                return self._refuse(action)
            case Ask(question=question):
                self._note = ""
                return Outcome(self.observation, question=question)
            case Scroll(by=by):
                return self._scroll(by)
        done = command(action, self.driver.page, self.driver.address, self.window, scripted=self._scripted)
        if isinstance(done, Refusal):
            return self._refuse(done)
        done.run(self.driver)
        self._number, self._note = 0 if done.loads else self._number, ""
        return Outcome(self.observation)

    def say(self, answer: str) -> str:
        """Return the observation with an answer of the user."""
        self._note = USER + answer
        return self.observation

    def snapshot(self) -> Moment:
        """Return the present moment."""
        return Moment(self.driver.snapshot(), self._number, self._note)

    def restore(self, moment: Moment) -> str:
        """Go back to a moment, and return what was seen; raise ReplayMismatch if the site shows another page there."""
        self.driver.restore(moment.visit)
        self._number, self._note = moment.window, moment.note
        return self.observation

    def screenshot(self) -> bytes | None:
        """Return a PNG of what the browser shows, scrolled to the window; None if the driver has no screen."""
        seen = self.window
        first = seen.shown[0] if seen.shown and seen.number else None
        return self.driver.screenshot(first)

    def _refuse(self, refusal: Refusal) -> Outcome:
        self._note = REPLY + refusal.reply
        return Outcome(self.observation, refused=refusal.reason)

    def _scroll(self, by: int) -> Outcome:
        seen = self.window
        if not 0 <= seen.number + by < seen.count:
            end = "last" if by > 0 else "first"
            return self._refuse(Refusal(Reason.NO_SCROLL, f"This is the {end} of {seen.count} windows."))
        self._number, self._note = seen.number + by, ""
        return Outcome(self.observation)


def refusals(history: History) -> list[int]:
    """Return the indices of a history's actions that were refused: a skill to count (`eefcore.protocols.Skill`)."""
    after = [*(step.observation for step in history.steps[1:]), history.observation]
    return [i for i, text in enumerate(after) if f"\n{REPLY}" in text]
