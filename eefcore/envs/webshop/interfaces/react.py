"""The shop as ReAct showed it to GPT-3 (WebShop.ipynb of ysymyth/ReAct): `think[…]`, `search[…]`, `click[…]`.

The pages are those of AgentLite, whose client was made from ReAct's, without `WEB PAGE: {…}` around them, and o_0 is the
start page. Where AgentLite answers with a message of its own, the answer is `Invalid action!` here. So it is for `Next >`,
and for `< Prev` on a page of results, which ReAct turned off. An episode has 15 actions.
"""

from __future__ import annotations

from collections.abc import Mapping

from eefcore.envs.webshop.goals import Goal
from eefcore.envs.webshop.interfaces import pages
from eefcore.envs.webshop.interfaces.agentlite import AgentLite
from eefcore.envs.webshop.interfaces.pages import REACT
from eefcore.envs.webshop.interfaces.session import RESULTS, ShopSession, ShopStep
from eefcore.envs.webshop.shop import Shop
from eefcore.evaluation.navigation import skill_from_pattern
from eefcore.protocols import Skill

INVALID = "Invalid action!"
THOUGHT = "OK."


class ReAct(AgentLite):
    """Show WebShop as ReAct text. Pure: an outcome depends on the session and the goal alone."""

    name = "react"
    max_turns = 15
    site = REACT

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop, per_page=REACT.per_page)
        self.skills: Mapping[str, Skill] = {
            "Next": skill_from_pattern(r"click\[Next >\]"),
            "Back": skill_from_pattern(r"click\[Back to Search\]"),
        }

    @staticmethod
    def frame(text: str) -> str:
        """Return a page as ReAct writes it."""
        return text.lstrip("\n")

    def start(self, goal: Goal) -> ShopStep:
        """Return s_0 and o_0, the start page."""
        return self._page_step(goal, ShopSession())

    def act(self, goal: Goal, session: ShopSession, action: str) -> ShopStep:
        """Return the session, observation and reward after an action of the agent."""
        name, bracket, rest = action.partition("[")
        button = rest[:-1]
        if name == "think" and bracket:
            return ShopStep(session, THOUGHT)
        if not bracket or name not in ("search", "click"):
            return ShopStep(session, INVALID)
        if name == "click" and button in (pages.NEXT, pages.PREV) and session.page == RESULTS:
            return ShopStep(session, INVALID)
        step = self.command(goal, session, action)
        if step.done:
            return step._replace(observation=f"Your score (min 0.0, max 1.0): {step.reward}")
        return step

    def irreversible(self, action: str) -> bool:
        """Whether `action` is a click on Buy Now, on whatever page."""
        return action == f"click[{pages.BUY}]"

    def _message(self, goal: Goal, session: ShopSession, message: str) -> ShopStep:
        """Return the client's answer in place of the page: that an option is clicked, or that the action is invalid."""
        if message.startswith("You have clicked "):
            return ShopStep(session, message)
        return ShopStep(session, INVALID)
