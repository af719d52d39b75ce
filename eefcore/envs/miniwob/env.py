"""One MiniWoB++ task at a time, in a tab of Chromium: an `eefcore.protocols.Environment`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from eefcore.envs.miniwob.site import result, site, start
from eefcore.envs.panels import Episode
from eefcore.envs.web.browsing import Browsing
from eefcore.envs.web.chromium import open_tab
from eefcore.envs.web.observation import USER
from eefcore.envs.web.tab import Tab
from eefcore.types import State, Transition

NO_MORE = "That is all I can say."
"""What the user answers to a question: a goal says everything."""


class Task(NamedTuple):
    """A task: a page, and the seed that fills it."""

    page: str
    seed: str


class MiniWob(Episode[Task]):
    """One task at a time. It ends when the page says so, or when the agent leaves the page.

    R(τ) is the page's raw reward, and 0 where that is below 0; so a win is the page's full reward, and what BrowserGym counts as
    success, any reward above 0, is not always one. A page's scripts hold state that can't be copied: `restore` plays the
    actions again.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__(tasks)
        self._tab: Tab | None = None
        self._browsing: Browsing
        self.goal = ""

    def reset(self, task_id: str) -> str:
        """Start the task in a new tab; return the goal and the page. Raise UnknownTask if there is none of that id."""
        task = self._start(task_id)
        if self._tab is not None:
            self._tab.close()
        self._tab = open_tab(site, scripted=True)
        self._browsing = Browsing(self._tab, scripted=True)
        self.goal = start(self._tab, *task)
        return f"{USER}{self.goal}\n{self._browsing.observation}"

    def step(self, action: str) -> Transition:
        """Take an action and return the next observation and reward; any text is answered. Raise EpisodeOver after done, or before `reset`."""
        before = self._running_state()
        assert self._tab is not None  # opened with the task
        outcome = self._browsing.act(action)
        if outcome.question:
            self._browsing.say(NO_MORE)
        self._state = State(before.task_id, (*before.actions, action))
        self._done, reward = result(self._tab)
        return Transition(self._browsing.observation, max(0.0, reward) if self._done else 0.0, self._done)

    def restore(self, state: State) -> str:
        """Go to `state` by playing its actions again, and return the observation there. Raise EpisodeOver if they go on after the end."""
        observation = self.reset(state.task_id)
        for action in state.actions:
            observation = self.step(action).observation
        return observation

    def close(self) -> None:
        """Close the tab."""
        if self._tab is not None:
            self._tab.close()
            self._tab = None
        self._done = True

    def screenshot(self) -> bytes | None:
        """Return a PNG of what the browser shows; None before any task."""
        return None if self._tab is None else self._browsing.screenshot()
