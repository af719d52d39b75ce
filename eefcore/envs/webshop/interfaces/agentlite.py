"""The shop as AgentLite shows it to a language model, which is how both papers ran WebShop.

Two layers, as in AgentLite's benchmark/webshop:

    act       reads what the agent writes (agent_utils.py, webshop_actions.py): `search[{"product": …}]`,
              `click[{"button": …}]`, `Think[{"response": …}]`, `Finish[{"response": …}]`
    command   gives the site `search[…]`, `click[…]` or `reset[]`, and returns its reply (webshop_env.py)

The server behind it is AgentBoard's copy of the shop: by default 3 products a page of the 50 that a search finds, while
every page says 15. Buttons, ids and option values are case-sensitive and exact. Pages: `agentlite_pages`.

Where the papers leave it open, we decided:
- Buying ends the episode. AgentLite's loop waits for `Finish`, but nothing after it changes the reward.
- An episode that never buys has reward 0. AgentLite reports the server's hidden progress score there.
- Where AgentLite's own program would stop with an exception, the reply is that of an action it can't parse.
- The 404 that a `/` in the query causes, and what else of a query its URL loses, is kept: the page is empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.interfaces import pages
from eefcore.envs.webshop.interfaces.agentlite_pages import AgentLitePages, goal_shown, web_page
from eefcore.envs.webshop.interfaces.pages import AGENTBOARD
from eefcore.envs.webshop.interfaces.session import (
    END,
    ITEM,
    RESULTS,
    START,
    SUB,
    ParsedAction,
    ShopSession,
    ShopStep,
    select_option,
)
from eefcore.envs.webshop.shop import Shop
from eefcore.evaluation.navigation import skill_from_pattern
from eefcore.protocols import Skill

WRONG_ACTION = (
    '"This is the wrong action to call. Please check your available action list.'  # the quote is AgentLite's
)
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


class AgentLite:
    """Show WebShop as AgentLite text, the interface of both papers. Pure: an outcome depends on the session and the goal alone.

    Args:
        arrows: buttons read `Next >` and `< Prev`, as in AgentLite's code; else `Next` and `Prev`, as in EEF's
            transcripts.
        item_lines: item pages show Rating, Description, Features and Reviews, as AgentBoard's do; else not, as in
            EEF's transcripts. The buttons work either way.
        per_page: products on a results page.
    """

    name = "agentlite"
    max_turns = 20
    site = AGENTBOARD
    frame = staticmethod(web_page)

    def __init__(
        self,
        shop: Shop,
        *,
        arrows: bool = True,
        item_lines: bool = True,
        per_page: int = AGENTBOARD.per_page,
    ) -> None:
        self._shop = shop
        self._next, self._prev = ("Next >", "< Prev") if arrows else ("Next", "Prev")
        self.skills: Mapping[str, Skill] = {"Next": _clicks(self._next), "Back": _clicks(pages.BACK)}
        self._pages_with = {
            pages.BUY: (ITEM,),
            pages.BACK: (RESULTS, ITEM, SUB),
            self._next: (RESULTS,),
            self._prev: (RESULTS, ITEM, SUB),
            **dict.fromkeys(pages.SUB_PAGES, (ITEM,)),
        }
        arrow_labels = {pages.NEXT: self._next, pages.PREV: self._prev}
        self._pages = AgentLitePages(
            shop,
            site=self.site._replace(per_page=per_page),
            arrow_labels=arrow_labels,
            item_lines=item_lines,
            frame=self.frame,
        )

    def start(self, goal: Goal) -> ShopStep:
        """Return s_0 and o_0: the goal alone, since AgentLite shows the model no page before its first action."""
        return ShopStep(ShopSession(), goal_shown(goal.instruction))

    def act(self, goal: Goal, session: ShopSession, action: str) -> ShopStep:
        """Return the session, observation and reward after an action of the agent."""
        name, argument = parse_action(action)
        if name == "click":
            step = self.command(goal, session, f"click[{argument}]")
            return step._replace(observation=FINISHED) if step.done else step
        if name == "search":
            return self.command(goal, session, f"search[{argument}]")
        if name == "Think":
            return ShopStep(session, THOUGHT)
        if name == "Finish":
            return ShopStep(session, argument, 0.0, True)
        return ShopStep(session, WRONG_ACTION)

    def irreversible(self, action: str) -> bool:
        """Whether `action` is a click on Buy Now, on whatever page."""
        return parse_action(action) == ("click", pages.BUY)

    def command(self, goal: Goal, session: ShopSession, command: str) -> ShopStep:
        """Return the session and page after a command to the site; it shows `WEB PAGE: {…}` but for a format error."""
        if command == "reset[]":
            return self._page_step(goal, ShopSession())
        if command.startswith("search["):
            if session.page != START:
                return self._message(goal, session, NO_SEARCH)
            return self._page_step(goal, ShopSession(RESULTS, query=command[7:-1], number=1))
        if command.startswith("click["):
            return self._click_button(goal, session, command[6:-1])
        return ShopStep(session, INCORRECT_FORMAT)

    def _click_button(self, goal: Goal, session: ShopSession, button: str) -> ShopStep:
        page = session.page
        if page not in self._pages_with.get(button, (page,)):
            wrong = NO_BUY if button == pages.BUY else f"This is no [{button}] button"
            return self._message(goal, session, wrong)
        if button == pages.BUY:
            reward = self._shop.reward(goal, session.asin, session.values)
            return ShopStep(session._replace(page=END), "", reward, True)
        if button == pages.BACK:
            return self._page_step(goal, ShopSession())
        if button == self._next:
            return self._page_step(goal, session._replace(number=session.number + 1))
        if button == self._prev:
            return self._page_step(goal, _previous(session))
        if button in pages.SUB_PAGES:
            return self._page_step(goal, session._replace(page=SUB, sub_page=button))
        if page == RESULTS:
            if button not in session.listed:
                return self._message(goal, session, "Button must be an asin")
            return self._page_step(goal, session._replace(page=ITEM, asin=button))
        return self._select(goal, session, button) if page == ITEM else self._page_step(goal, session)

    def _select(self, goal: Goal, session: ShopSession, button: str) -> ShopStep:
        types = dict(session.option_types)
        if not types:
            return self._message(goal, session, "No option_types.")
        if button not in types:
            return self._message(goal, session, f"your button must be in {types}.")
        session = session._replace(options=select_option(session.options, types[button], button))
        return self._message(goal, session, f"You have clicked {button}.")

    def _message(self, goal: Goal, session: ShopSession, message: str) -> ShopStep:
        """Return a message in place of the page; the client still reads the page's buttons."""
        return self._page_step(goal, session)._replace(observation=web_page(message))

    def _page_step(self, goal: Goal, session: ShopSession) -> ShopStep:
        """Return the page, and the session with the ids and options that the client remembers from it."""
        page = self._pages.at(session, goal.instruction)
        listed, types = page.listed or session.listed, page.option_types or session.option_types
        return ShopStep(session._replace(listed=listed, option_types=types), page.text)


@lru_cache(maxsize=65536)
def parse_action(action: str) -> ParsedAction:
    """Parse the first line of an action: its name, and its one argument as text."""
    match = _ACTION.match(action.strip(" ").strip(".").strip(":").split("\n")[0])
    if match is None:
        return ParsedAction(None)
    name = match[1]
    with suppress(ValueError, RecursionError):  # not JSON, or nested deeper than Python reads
        arguments = json.loads(match[2].strip())
        if name == "Think" and isinstance(arguments, dict):
            return ParsedAction(name)
        if isinstance(arguments, dict) and set(arguments) == {_PARAMETER.get(name)}:
            return ParsedAction(name, _as_text(arguments[_PARAMETER[name]]))
    return ParsedAction(None)


def _previous(session: ShopSession) -> ShopSession:
    """Return the session that `< Prev` leads to."""
    if session.page == RESULTS:
        return session._replace(number=session.number - 1)
    if session.page == SUB:
        return session._replace(page=ITEM)
    return session._replace(page=RESULTS, options=())


def _as_text(value: Any) -> str:
    """Return the value as it is put into the command, half a surrogate pair as `?`."""
    return str(value).encode("utf-8", errors="replace").decode("utf-8")


def _clicks(button: str) -> Skill:
    """Return the skill of actions that click `button`."""
    return skill_from_pattern(rf'click\[\s*\{{\s*"button"\s*:\s*"{re.escape(button)}"\s*\}}\s*\]')
