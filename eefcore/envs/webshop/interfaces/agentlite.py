"""The shop as AgentLite shows it to a language model, which is how both papers ran WebShop.

Two layers, as in its benchmark/webshop:

    act       what the agent writes (agent_utils.py, webshop_actions.py): `search[{"product": …}]`,
              `click[{"button": …}]`, `Think[{"response": …}]`, `Finish[{"response": …}]`
    command   what reaches the site: `search[…]`, `click[…]`, `reset[]`, and its every reply (webshop_env.py)

The server behind it is AgentBoard's copy of the shop: 3 products a page of the 50 that a search finds, while
every page says 15. Buttons, ids and option values are case-sensitive and exact. Pages: `agentlite_pages`.

What we decided:
- Buying ends the episode. AgentLite's loop waits for `Finish`, but nothing after it changes the reward.
- An episode that never buys has reward 0. AgentLite reports the server's hidden progress score there.
- Where AgentLite's own program would stop with an exception (an argument that is no object, parameters it
  does not know), the reply is that of an action it can't parse.
- The 404 that a `/` in the query causes, and what else of a query its URL loses, is kept: the page is empty.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, NamedTuple

from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.interfaces import pages
from eefcore.envs.webshop.interfaces.agentlite_pages import AgentLitePages, shown_goal, wrapped
from eefcore.envs.webshop.interfaces.session import END, ITEM, RESULTS, START, SUB, Answer, Session, selected
from eefcore.envs.webshop.shop import Shop
from eefcore.evaluation.navigation import matching
from eefcore.protocols import Skill

WRONG_ACTION = '"This is the wrong action to call. Please check your available action list.'
"""The stray quote is AgentLite's."""

INCORRECT_FORMAT = (
    "Incorrect action format. Please use the correct action format following:\n"
    "Available Actions:\n\n"
    "click[something]: Engage with specific buttons or links.\n"
    "search[something]: Seek specific data on the website. "
    "Use this only if a [Search] button appears in the observation.\n"
    "Note: If you wish to search and there is no [Search] button, click the [Back to Search] button instead. "
)
NO_SEARCH = (
    "There is no [Search] button, you should click the [Back to Search] button first to search something "
)
NO_BUY = "There is no [Buy Now] button"
FINISHED = "shopping is finished."
THOUGHT = "OK"

_ACTION = re.compile(r"^(\w+)\[(.+)\]$")
_PARAMETER = {"click": "button", "search": "product", "Finish": "response"}


class Call(NamedTuple):
    """An action as AgentLite reads it; `name` is None when it can't."""

    name: str | None
    argument: str = ""


class AgentLite:
    """The interface of the two papers. Pure: an action's outcome depends on the session and the goal alone.

    Args:
        shop: what is sold.
        arrows: buttons read `Next >` and `< Prev`, as in AgentLite's code; else `Next` and `Prev`, as in the
            transcripts EEF prints.
        item_lines: item pages show Rating, Description, Features and Reviews, as AgentBoard's do; else not,
            as in those transcripts. The buttons work either way.
    """

    name = "agentlite"
    max_turns = 20

    def __init__(self, shop: Shop, *, arrows: bool = True, item_lines: bool = True) -> None:
        self._shop = shop
        self._next, self._prev = ("Next >", "< Prev") if arrows else ("Next", "Prev")
        self._item_lines = item_lines
        self.skills = {"Next": _click(self._next), "Back": _click(pages.BACK)}
        turning = {pages.NEXT: self._next, pages.PREV: self._prev}
        self._pages = AgentLitePages(shop, turning=turning, item_lines=item_lines)

    def start(self, goal: Goal) -> Answer:
        """s_0 and o_0: the goal alone, since AgentLite shows the model no page before its first action."""
        return Answer(Session(), shown_goal(goal.instruction))

    def act(self, goal: Goal, session: Session, action: str) -> Answer:
        """The answer to an action of the agent."""
        name, argument = parsed(action)
        if name == "click":
            answer = self.command(goal, session, f"click[{argument}]")
            return answer._replace(observation=FINISHED) if answer.done else answer
        if name == "search":
            return self.command(goal, session, f"search[{argument}]")
        if name == "Think":
            return Answer(session, THOUGHT)
        if name == "Finish":
            return Answer(session, argument, 0.0, True)
        return Answer(session, WRONG_ACTION)

    def irreversible(self, action: str) -> bool:
        """Whether `action` is a click on Buy Now, on whatever page."""
        return parsed(action) == ("click", pages.BUY)

    def command(self, goal: Goal, session: Session, command: str) -> Answer:
        """The site's answer: where it leads and what it shows, in `WEB PAGE: {…}` but for a format error."""
        if command == "reset[]":
            return self._shown(goal, Session())
        if command.startswith("search["):
            if session.page != START:
                return self._told(goal, session, NO_SEARCH)
            return self._shown(goal, Session(RESULTS, query=command[7:-1], number=1))
        if command.startswith("click["):
            return self._clicked(goal, session, command[6:-1])
        return Answer(session, INCORRECT_FORMAT)

    def _clicked(self, goal: Goal, session: Session, button: str) -> Answer:
        page = session.page
        if button == pages.BUY:
            if page != ITEM:
                return self._told(goal, session, NO_BUY)
            reward = self._shop.worth(goal, session.asin, tuple(value for _, value in session.options))
            return Answer(session._replace(page=END), "", reward, True)
        if button == pages.BACK:
            return self._missing(goal, session, button) if page == START else self._shown(goal, Session())
        if button == self._next:
            if page != RESULTS:
                return self._missing(goal, session, button)
            return self._shown(goal, session._replace(number=session.number + 1))
        if button == self._prev:
            return self._back(goal, session)
        if button in pages.SUB_PAGES:
            if page != ITEM:
                return self._missing(goal, session, button)
            return self._shown(goal, session._replace(page=SUB, sub_page=button))
        if page == RESULTS:
            if button not in session.listed:
                return self._told(goal, session, "Button must be an asin")
            return self._shown(goal, session._replace(page=ITEM, asin=button))
        if page == ITEM:
            return self._chosen(goal, session, button)
        return self._shown(goal, session)

    def _back(self, goal: Goal, session: Session) -> Answer:
        if session.page == RESULTS:
            return self._shown(goal, session._replace(number=session.number - 1))
        if session.page == SUB:
            return self._shown(goal, session._replace(page=ITEM))
        if session.page == ITEM:
            return self._shown(goal, session._replace(page=RESULTS, options=()))
        return self._missing(goal, session, self._prev)

    def _chosen(self, goal: Goal, session: Session, button: str) -> Answer:
        known = session.option_types
        if known is None:
            return self._told(goal, session, "No option_types.")
        if button not in known:
            return self._told(goal, session, f"your button must be in {known}.")
        chosen = session._replace(options=selected(session.options, known[button], button))
        return self._told(goal, chosen, f"You have clicked {button}.")

    def _missing(self, goal: Goal, session: Session, button: str) -> Answer:
        return self._told(goal, session, f"This is no [{button}] button")

    def _told(self, goal: Goal, session: Session, message: str) -> Answer:
        """A message in place of the page, which is fetched all the same: the client reads its buttons."""
        return Answer(self._fetched(goal, session)[0], wrapped(message))

    def _shown(self, goal: Goal, session: Session) -> Answer:
        """The page itself."""
        session, text = self._fetched(goal, session)
        return Answer(session, text)

    def _fetched(self, goal: Goal, session: Session) -> tuple[Session, str]:
        page = self._pages.at(session, goal.instruction)
        if page.listed:
            session = session._replace(listed=page.listed)
        if page.option_types is not None:
            session = session._replace(option_types=page.option_types)
        return session, page.text


@lru_cache(maxsize=65536)
def parsed(action: str) -> Call:
    """The call in the first line of an action, its one argument as text."""
    match = _ACTION.match(action.strip(" ").strip(".").strip(":").split("\n")[0])
    if match is None:
        return Call(None)
    name = match[1]
    try:
        arguments = json.loads(match[2].strip())
        if not isinstance(arguments, dict):
            return Call(None)
        if name == "Think":
            return Call(name)
        if name not in _PARAMETER or set(arguments) != {_PARAMETER[name]}:
            return Call(None)
        return Call(name, _as_text(arguments[_PARAMETER[name]]))
    except (ValueError, RecursionError):  # not JSON, or nested deeper than Python reads
        return Call(None)


def _as_text(value: Any) -> str:
    """The value as it is put into the command, half a surrogate pair as `?`."""
    return str(value).encode("utf-8", errors="replace").decode("utf-8")


def _click(button: str) -> Skill:
    """What clicks `button`."""
    return matching(rf'click\[\s*\{{\s*"button"\s*:\s*"{re.escape(button)}"\s*\}}\s*\]')
