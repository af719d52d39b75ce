"""Synthetic shopping episodes in the AgentLite format (EEF A.2)."""

from __future__ import annotations

from collections.abc import Sequence

from eefcore.evaluation.navigation import skill_from_pattern
from eefcore.types import Card, History, StopReason, Trajectory

SKILLS = {
    "Next": skill_from_pattern(r'^click\["button": "Next'),
    "Back": skill_from_pattern(r'^click\["button": "Back to Search"'),
}
CARD = Card("tiny shop", {"products": 600, "goals": "9f3a0c21", "tagger": "suffix", "interface": "agentlite"})

PAGE_1 = (
    "WEB PAGE: {\n[Back to Search] \nPage 1 (Total results: 15) \n[Next >] \n[B08737G8HG] \nModern Fabric Double Sofa "
    "Couch Loveseat Linen Accent Chair Comfy Upholstered Arm Lounge Chair \n$279.99 \n[B09NS47YJ7] \nSectional Couches "
    "for Living Room Faux Leather Office Couch Sets (Loveseat, Brown) \n$512.0 }"
)
PAGE_2 = (
    "WEB PAGE: {\n[Back to Search] \nPage 2 (Total results: 15) \n[< Prev] \n[Next >] \n[B0872G9J57] \nPoppy Sofa - "
    "Resilient Memory Foam - Made in US - Mid Century Modern \n$1751.0 }"
)
ITEM = (
    "WEB PAGE: {\n[Back to Search] \n[< Prev] \nsize [armchair][loveseat][sofa]\nPrice: $1751.0 \n[Buy Now] }"
)
SEARCH_PAGE = "WEB PAGE: {\n[Search] }"
DONE = "shopping is finished."


def think(words: str) -> str:
    return f'Think["response": "{words}"]'


def search(words: str) -> str:
    return f'search["product": "{words}"]'


def click(button: str) -> str:
    return f'click["button": "{button}"]'


def episode(
    task: str,
    moves: Sequence[tuple[str, str]],
    reward: float,
    *,
    instruction: str = "i am looking for resilient memory foam loveseat sofa",
    n_expert: int = 0,
    source: str = "",
    stop: StopReason = StopReason.DONE,
) -> Trajectory:
    """Return the episode of `moves`, pairs of an action and the observation after it."""
    history = History(task, instruction)
    for action, answer in moves:
        history = history.then(action, answer)
    return Trajectory(history=history, reward=reward, n_expert=n_expert, source=source, stop=stop)


_HEAD = ((think("I should first search for the sofa."), "OK"), (search("memory foam loveseat sofa"), PAGE_1))
_BUY = ((click("loveseat"), "WEB PAGE: {You have clicked loveseat.}"), (click("Buy Now"), DONE))

NAIVE = (
    *_HEAD,
    (think("The first product fits. I should not click Next."), "OK"),
    (click("B08737G8HG"), ITEM),
    _BUY[1],
)
NEXT = (
    *_HEAD,
    (think("None of these is memory foam. I should click Next to see more."), "OK"),
    (click("Next >"), PAGE_2),
    (think("The third is resilient memory foam."), "OK"),
    (click("B0872G9J57"), ITEM),
    *_BUY,
)
BACK = (
    *_HEAD,
    (think("The first product seems to fit."), "OK"),
    (click("B08737G8HG"), ITEM),
    (think("It has no loveseat, so I should search again."), "OK"),
    (click("Back to Search"), SEARCH_PAGE),
    (search("resilient foam loveseat"), PAGE_2),
    (click("B0872G9J57"), ITEM),
    *_BUY,
)


def naive(task: str, reward: float = 0.66, **rest) -> Trajectory:
    """Return an episode that buys the first product."""
    return episode(task, NAIVE, reward, **rest)


def by_next(task: str, reward: float = 1.0, **rest) -> Trajectory:
    """Return an episode that turns the page first."""
    return episode(task, NEXT, reward, **rest)


def by_back(task: str, reward: float = 1.0, **rest) -> Trajectory:
    """Return an episode that goes back from a product that does not fit."""
    return episode(task, BACK, reward, **rest)


def spoilt(task: str) -> Trajectory:
    """Return an episode that the infrastructure ended before the first action."""
    return episode(task, (), 0.0, stop=StopReason.MODEL_FAILURE)
