"""One visit to the booking site at a time, by an agent in front of a browser: an `eefcore.protocols.Environment`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from eefcore.envs.booking.clock import local_time
from eefcore.envs.booking.database import Database
from eefcore.envs.booking.grading import Grade, grade
from eefcore.envs.booking.site import COMMITTING, make_app
from eefcore.envs.booking.tasks import Task
from eefcore.envs.booking.user import answer
from eefcore.envs.booking.world import World
from eefcore.envs.panels import Episode
from eefcore.envs.web.actions import Click, Refusal, Submit, command, parse_action
from eefcore.envs.web.browsing import Browsing, Moment
from eefcore.envs.web.driver import Driver
from eefcore.envs.web.in_process import ASGIApp, InProcess
from eefcore.envs.web.observation import USER
from eefcore.types import State, Transition


class OpenDriver(Protocol):
    """Open a browser on a site whose pages see a clock that stands still at `now` in a time zone."""

    def __call__(self, app: ASGIApp, *, now: dt.datetime, time_zone: str) -> Driver: ...


def in_process(app: ASGIApp, *, now: dt.datetime, time_zone: str) -> Driver:
    """Open the browser without a screen; its pages have no clock but the one that they show."""
    return InProcess(app)


class Saved(NamedTuple):
    """A state of a visit: the rows of the site, and where the browser is."""

    rows: bytes
    moment: Moment


class SnapshotCache:
    """The last `size` states of which a snapshot was taken; an older one is played again when it is needed."""

    def __init__(self, size: int = 4000) -> None:
        self._saved: dict[State, Saved] = {}
        self._size = size

    def add(self, state: State, saved: Saved) -> None:
        """Keep a state."""
        self._saved[state] = saved
        if len(self._saved) > self._size:
            del self._saved[next(iter(self._saved))]

    def get(self, state: State) -> Saved | None:
        """Return a state, None if it is not kept."""
        return self._saved.get(state)


class BookingSite(Episode[Task]):
    """One visit at a time. It ends when the agent ends it on the page, and then the rows are graded.

    R(τ) is 1 if all that the task asks for is booked and nothing else (`envs.booking.grading`), and 0 otherwise. The agent sees
    pages alone: the goal is in no page, and no address of the site leads to it. o_0 begins with the user's request, and a
    question is answered by the user of the task (`envs.booking.user`). A snapshot is a copy of a few rows and an immutable
    page, so it costs the same at any depth.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        worlds: Mapping[str, World],
        cache: SnapshotCache,
        open_driver: OpenDriver = in_process,
    ) -> None:
        super().__init__(tasks)
        self._worlds, self._cache, self._open_driver = worlds, cache, open_driver
        self._task: Task | None = None
        self._database: Database
        self._app: ASGIApp
        self._browsing: Browsing

    def reset(self, task_id: str) -> str:
        """Start the task in a new browser, and return the request and the first page; raise UnknownTask if there is none of that id."""
        self._begin(task_id, new_browser=True)
        return self._enter(State(task_id))

    def step(self, action: str) -> Transition:
        """Take an action and return the next observation and reward; any text is answered. Raise EpisodeOver after done, or before `reset`."""
        before = self._running_state()
        outcome = self._browsing.act(action)
        if outcome.question:
            self._browsing.say(answer(self._find(before.task_id), outcome.question))
        self._state = State(before.task_id, (*before.actions, action))
        self._done = self._database.session().finished
        return Transition(self._observation, self.grade().reward if self._done else 0.0, self._done)

    def snapshot(self) -> State:
        """Return s_t, and keep it in this process. Raise EpisodeOver before `reset`."""
        state = super().snapshot()
        self._cache.add(state, Saved(self._database.snapshot(), self._browsing.snapshot()))
        return state

    def restore(self, state: State) -> str:
        """Restore the visit to `state`, by replay from s_0 if there is no snapshot of it, and return the observation there.

        Raises:
            EpisodeOver: its actions go on after the episode ends.
            ReplayMismatch: the browser shows another page there.
        """
        self._begin(state.task_id, new_browser=self._task is None or state.task_id != self._task.id)
        return self._enter(state)

    def irreversible(self, action: str) -> bool:
        """Return whether `action` would complete a reservation or a change, or cancel one, on the page that is seen now."""
        if self._task is None or self._done:
            return False
        match found := parse_action(action):
            case Click() | Submit():
                page, seen = self._browsing.driver.page, self._browsing.window
                control = page.control(found.id)
                if (
                    control is None
                    or control.form is None
                    or not COMMITTING.fullmatch(page.forms[control.form].action)
                ):
                    return False
                return not isinstance(command(found, page, self._browsing.driver.address, seen), Refusal)
        return False

    def grade(self) -> Grade:
        """Return what is right in what is booked now. For analysis and for the agreement of judges; no method may see it."""
        if self._task is None:
            raise self._over("grade")
        return grade(self._database.booked(), self._task.goal)

    def digest(self) -> str:
        """Return a hash of all rows of the site: equal where two drivers, or two processes, did the same."""
        return self._database.digest()

    def screenshot(self) -> bytes | None:
        """Return a PNG of what the browser shows; None from a driver without a screen."""
        return self._browsing.screenshot()

    def _begin(self, task_id: str, *, new_browser: bool) -> None:
        """Set up the site as it is at the start of a task, in the browser of before or in a new one."""
        task = self._start(task_id)
        world, setting = self._worlds[task.world], task.setting
        if self._task is None:
            self._database = Database(world, setting)
            self._app = make_app(self._database)
        else:
            self._database.start(world, setting)
            if new_browser:
                self._browsing.driver.close()
        if new_browser:
            zone = world.zones[setting.city]
            driver = self._open_driver(self._app, now=local_time(setting.moment, zone), time_zone=zone)
            self._browsing = Browsing(driver)
        self._task = task

    def _enter(self, state: State) -> str:
        """Go to a state of the task that has begun, by its snapshot or by replay, and return the observation there."""
        if (saved := self._cache.get(state)) is not None:
            self._database.restore(saved.rows)
            self._browsing.restore(saved.moment)
            self._state, self._done = state, self._database.session().finished
        else:
            self._browsing.open("/")
            for action in state.actions:
                self.step(action)
            self.snapshot()
        return self._observation

    @property
    def _observation(self) -> str:
        """What the agent sees: at s_0 the request before the page."""
        page = self._browsing.observation
        if self._task is None or self._state is None or self._state.actions:
            return page
        return f"{USER}{self._task.instruction}\n{page}"
