"""The shop as the official text environment shows it: `text` and `text_rich` (envs/web_agent_text_env.py).

An action is `search[words]` or `click[button]`, its argument in any case; anything else, and a click on what
is not there, changes nothing and shows the page again. Searching is allowed on every page. 10 products a
page, `n` of `Total results: n` is the truth. A ReAct turn is understood too: what follows its last
line-opening `Action:` is the action.

What we decided: where the official environment would stop with an exception (`<a>` queries, `<c>` alone), the
search lists what the official website lists, or nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.interfaces import pages
from eefcore.envs.webshop.interfaces.official_pages import OfficialPages, Target
from eefcore.envs.webshop.interfaces.pages import BACK, BUY, NEXT, PREV, Kind
from eefcore.envs.webshop.interfaces.session import END, ITEM, RESULTS, SUB, Answer, Session, selected
from eefcore.envs.webshop.shop import Shop
from eefcore.evaluation.navigation import matching

_ACTION = re.compile(r"(.+)\[(.+)\]")
_REACT = re.compile(r"(?:^|\n)[ \t]*Action:")
_SUB_PAGES = {name.lower(): name for name in pages.SUB_PAGES}


class Call(NamedTuple):
    """An action as the environment reads it; `name` is None when it can't."""

    name: str | None
    argument: str = ""


class OfficialText:
    """An official text interface. Pure: an action's outcome depends on the session and the goal alone."""

    max_turns = 100

    def __init__(self, shop: Shop, *, rich: bool) -> None:
        self.name = "text_rich" if rich else "text"
        self.skills = {
            "Next": matching(r"(?i)click\[next >\]"),
            "Back": matching(r"(?i)click\[back to search\]"),
        }
        self._shop = shop
        self.pages = OfficialPages(shop, rich=rich)

    def start(self, goal: Goal) -> Answer:
        """s_0 and o_0, the start page."""
        return self._shown(goal, Session())

    def act(self, goal: Goal, session: Session, action: str) -> Answer:
        """The answer to an action."""
        name, argument = parsed(action)
        if name == "search" and argument:
            session = Session(RESULTS, query=argument, number=1, visited=session.visited)
        elif name == "click" and argument != "search":
            target = self.pages.clickables(session).get(argument)
            if target is not None:
                return self._clicked(goal, session, argument, target)
        return self._shown(goal, session)

    def irreversible(self, action: str) -> bool:
        """Whether `action` is a click on Buy Now, on whatever page."""
        return parsed(action) == ("click", BUY.lower())

    def _clicked(self, goal: Goal, session: Session, button: str, target: Target) -> Answer:
        """Buttons go by their words, whatever carries them, before products and options, as officially."""
        if button == BUY.lower():
            return self._bought(goal, session)
        if button == BACK.lower():
            return self._shown(goal, Session())
        if button == NEXT.lower() and _taken_for(session) == RESULTS:
            return self._shown(goal, _listing(session, session.number + 1))
        if button == PREV.lower():
            return self._shown(goal, _before(session))
        if button in _SUB_PAGES:
            return self._shown(goal, session._replace(page=SUB, sub_page=_SUB_PAGES[button]))
        if target.kind is Kind.PRODUCT:
            visited = session.visited | {target.of}
            return self._shown(goal, session._replace(page=ITEM, asin=target.of, visited=visited))
        return self._shown(goal, session._replace(options=selected(session.options, target.of, button)))

    def _bought(self, goal: Goal, session: Session) -> Answer:
        reward = self._shop.worth(goal, session.asin, tuple(value for _, value in session.options))
        receipt = self.pages.receipt(session.asin, session.options, reward)
        return Answer(session._replace(page=END), receipt, reward, True)

    def _shown(self, goal: Goal, session: Session) -> Answer:
        return Answer(session, self.pages.at(session, goal.instruction))


@lru_cache(maxsize=65536)
def parsed(action: str) -> Call:
    """The call that an action, or the last `Action:` of a ReAct turn, opens with; argument in lower case."""
    turns = list(_REACT.finditer(action))
    match = _ACTION.match(action[turns[-1].end() :].strip() if turns else action)
    return Call(None) if match is None else Call(match[1], match[2].lower())


def _listing(session: Session, number: int) -> Session:
    """Results page `number`; opening one unselects everything."""
    return Session(RESULTS, query=session.query, number=number, visited=session.visited)


def _before(session: Session) -> Session:
    """Where `< Prev` leads."""
    taken_for = _taken_for(session)
    if taken_for == RESULTS:
        return _listing(session, session.number - 1)
    return _listing(session, session.number) if taken_for == ITEM else session._replace(page=ITEM)


def _taken_for(session: Session) -> str:
    """The page the server takes this one for: it looks for pages' names all over the URL, query included."""
    if session.page == RESULTS:
        return RESULTS
    words = f"{session.query.replace(' ', '+')} {dict(session.options)}"
    if "search_results" in words:
        return RESULTS
    return ITEM if session.page == ITEM or "item_page" in words else SUB
