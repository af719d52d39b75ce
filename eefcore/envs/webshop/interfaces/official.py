"""The shop as the official text environment shows it: `text` and `text_rich` (envs/web_agent_text_env.py).

An action is `search[words]`, on every page, or `click[button]`, its argument in upper or lower case; any other text,
and a click on what is not there, shows the page again. In a ReAct turn the action is what follows the last `Action:`
that opens a line.

Where the official environment would stop with an exception (`<a>` queries, `<c>` alone), we decided that the
search lists what the official website lists, or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.interfaces import pages
from eefcore.envs.webshop.interfaces.official_pages import ClickTarget, OfficialPages
from eefcore.envs.webshop.interfaces.pages import BACK, BUY, NEXT, PREV, StringKind
from eefcore.envs.webshop.interfaces.session import (
    END,
    ITEM,
    RESULTS,
    SUB,
    ParsedAction,
    ShopSession,
    ShopStep,
    select_option,
)
from eefcore.envs.webshop.shop import Shop
from eefcore.evaluation.navigation import skill_from_pattern
from eefcore.protocols import Skill

_ACTION = re.compile(r"(.+)\[(.+)\]")
_REACT = re.compile(r"(?:^|\n)[ \t]*Action:")
_SUB_PAGES: dict[str, str] = {name.lower(): name for name in pages.SUB_PAGES}


class OfficialText:
    """Show WebShop as its official text environment does. Pure: an outcome depends on the session and the goal alone."""

    max_turns = 100

    def __init__(self, shop: Shop, *, rich: bool) -> None:
        self.name = "text_rich" if rich else "text"
        self.skills: Mapping[str, Skill] = {
            "Next": skill_from_pattern(r"(?i)click\[next >\]"),
            "Back": skill_from_pattern(r"(?i)click\[back to search\]"),
        }
        self._shop = shop
        self.pages = OfficialPages(shop, rich=rich)

    def start(self, goal: Goal) -> ShopStep:
        """Return s_0 and o_0, the start page."""
        return self._page_step(goal, ShopSession())

    def act(self, goal: Goal, session: ShopSession, action: str) -> ShopStep:
        """Return the session, observation and reward after an action."""
        name, argument = parse_action(action)
        if name == "search" and argument:
            session = ShopSession(RESULTS, query=argument, number=1, visited=session.visited)
        elif name == "click" and argument != "search":
            target = self.pages.clickables(session).get(argument)
            if target is not None:
                return self._click_button(goal, session, argument, target)
        return self._page_step(goal, session)

    def irreversible(self, action: str) -> bool:
        """Whether `action` is a click on Buy Now, on whatever page."""
        return parse_action(action) == ("click", BUY.lower())

    def _click_button(self, goal: Goal, session: ShopSession, button: str, target: ClickTarget) -> ShopStep:
        """Return the session and page after a click; as in the official code, a button's label counts before products and options of that name."""
        if button == BUY.lower():
            reward = self._shop.reward(goal, session.asin, session.values)
            receipt = self.pages.receipt(session.asin, session.options, reward)
            return ShopStep(session._replace(page=END), receipt, reward, True)
        if button == BACK.lower():
            return self._page_step(goal, ShopSession())
        if button == NEXT.lower() and _page_by_url(session) == RESULTS:
            return self._page_step(goal, _to_results(session, session.number + 1))
        if button == PREV.lower():
            return self._page_step(goal, _to_previous(session))
        if button in _SUB_PAGES:
            return self._page_step(goal, session._replace(page=SUB, sub_page=_SUB_PAGES[button]))
        if target.kind is StringKind.PRODUCT:
            visited = session.visited | {target.name}
            return self._page_step(goal, session._replace(page=ITEM, asin=target.name, visited=visited))
        return self._page_step(
            goal, session._replace(options=select_option(session.options, target.name, button))
        )

    def _page_step(self, goal: Goal, session: ShopSession) -> ShopStep:
        return ShopStep(session, self.pages.at(session, goal.instruction))


@lru_cache(maxsize=65536)
def parse_action(action: str) -> ParsedAction:
    """Parse an action, or what follows the last `Action:` of a ReAct turn; the argument in lower case."""
    turns = list(_REACT.finditer(action))
    match = _ACTION.match(action[turns[-1].end() :].strip() if turns else action)
    return ParsedAction(None) if match is None else ParsedAction(match[1], match[2].lower())


def _to_results(session: ShopSession, number: int) -> ShopSession:
    """Return the session at results page `number`; opening one unselects everything."""
    return ShopSession(RESULTS, query=session.query, number=number, visited=session.visited)


def _to_previous(session: ShopSession) -> ShopSession:
    """Return the session that `< Prev` leads to."""
    page = _page_by_url(session)
    if page == RESULTS:
        return _to_results(session, session.number - 1)
    return _to_results(session, session.number) if page == ITEM else session._replace(page=ITEM)


def _page_by_url(session: ShopSession) -> str:
    """Return the type of page that the server believes this is: it looks for pages' names in the whole URL, query included."""
    if session.page == RESULTS:
        return RESULTS
    words = f"{session.query.replace(' ', '+')} {dict(session.options)}"
    if "search_results" in words:
        return RESULTS
    return ITEM if session.page == ITEM or "item_page" in words else SUB
