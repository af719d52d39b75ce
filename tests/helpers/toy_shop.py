"""A shop of one shelf a page: the smallest environment with Next, Back and wrong products."""

from __future__ import annotations

import re

from eefcore.errors import EpisodeOver
from eefcore.types import History, State, Transition

SHELVES = (("red hat", "red sock"), ("blue hat", "blue sock"), ("green hat", "green sock"))


class ToyShop:
    """An environment whose task id is the thing to buy; its actions are `next`, `back` and `buy <thing>`.

    Buying can't be undone, where the thing is on the shelf: elsewhere the same text does nothing.
    """

    def __init__(self) -> None:
        self._state = State("")
        self._over = True

    def reset(self, task_id: str) -> str:
        self._state, self._page, self._over = State(task_id), 0, False
        return f"buy a {task_id}. {self._shelf()}"

    def step(self, action: str) -> Transition:
        if self._over:
            raise EpisodeOver("the shop is closed; call reset")
        self._state = State(self._state.task_id, (*self._state.actions, action))
        if bought := re.fullmatch(r"buy (.+)", action):
            if bought[1] not in SHELVES[self._page]:
                return Transition("no such thing here")
            self._over = True
            return Transition("bye", 1.0 if bought[1] == self._state.task_id else 0.25, True)
        moves = {"next": 1, "back": -1}
        if action not in moves:
            return Transition("what?")
        self._page = min(max(self._page + moves[action], 0), len(SHELVES) - 1)
        return Transition(self._shelf())

    def irreversible(self, action: str) -> bool:
        return action.startswith("buy ") and action.removeprefix("buy ") in SHELVES[self._page]

    def snapshot(self) -> State:
        return self._state

    def restore(self, state: State) -> str:
        seen = self.reset(state.task_id)
        for action in state.actions:
            seen = self.step(action).observation
        return seen

    def _shelf(self) -> str:
        return ", ".join(SHELVES[self._page])


TASKS = tuple(thing for shelf in SHELVES for thing in shelf)


def shopper(history: History) -> str:
    """Return the action of a policy that goes to the next shelf until it sees the thing."""
    seen = history.observation.split(". ")[-1]
    return f"buy {history.task_id}" if history.task_id in seen else "next"
