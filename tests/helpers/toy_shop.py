"""A shop of one shelf a page: the smallest world with a Next, a Back and a wrong thing to buy."""

from __future__ import annotations

import re

from eefcore.errors import EpisodeOver
from eefcore.types import History, State, Transition

SHELVES = (("red hat", "red sock"), ("blue hat", "blue sock"), ("green hat", "green sock"))


class ToyShop:
    """The task id is what to buy; `next`, `back` and `buy <thing>` are understood."""

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
    """Looks on the next shelf until the thing is there."""
    seen = history.observation.split(". ")[-1]
    return f"buy {history.task_id}" if history.task_id in seen else "next"
