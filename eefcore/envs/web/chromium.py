"""A site played in Chromium, headless, through Playwright: tabs that show the same pages as `eefcore.envs.web.in_process`.

    with chromium.open_tab(app, now=datetime(2024, 5, 20, 10, 0)) as tab:     # an eefcore.envs.web.driver.Driver
        tab.open("/")
        tab.page, tab.address                                                 # as in process
        tab.screenshot()                                                      # PNG
        tab.evaluate("() => document.title")                                  # what a script returns, for sites with scripts

`app` is an ASGI application; in a browser it may await. `open_tab` starts a Chromium when there is none, and gives each tab a
context of its own: no cookie, storage or cache is shared. Chromium is replaced after some hundred tabs, as it grows, and when it was
killed. Whatever fails there is a BrowserError, which makes an episode an environment failure and never a loss.

With `scripted=True` a tab waits after each action until scripts had their turn, shows what style sheets hide as hidden, and counts
whatever the mouse pointer marks as clickable among the buttons: for pages that others wrote. Without, pages are taken by
attributes alone, and a click on a link or a submit button has to load a page.

Playwright's asynchronous interface runs in a thread of its own. Pages see a clock that stands still at `now`, one time zone, en-US and seeded
random numbers. Nothing but this process's loopback server is reached: no name is resolved, and other addresses are aborted.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import threading
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from eefcore.envs.web.address import HOST
from eefcore.envs.web.background_loop import BackgroundLoop
from eefcore.envs.web.in_process import ASGIApp
from eefcore.envs.web.loopback import KEY, Loopback
from eefcore.envs.web.tab import PATIENCE, SECONDS, Loads, Tab, reported
from eefcore.errors import BrowserError

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Playwright, Route
    from playwright.async_api import Page as Target

EXECUTABLES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""Names under which Chromium is looked for; the environment variable EEF_CHROMIUM goes first."""

VIEWPORT = (1024, 768)
NOW = datetime(2024, 5, 20, 10, 0)
"""What clocks in a page show unless the task says otherwise."""

TABS_A_BROWSER = 300  # then a new Chromium: it and its driver grow by some tens of kilobytes a context

_ARGUMENTS = (
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}",
    "--no-proxy-server",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)

_SEEDED = """(() => { let state = 20240520; Math.random = () => {
  state = state + 0x6D2B79F5 | 0; let t = Math.imul(state ^ state >>> 15, 1 | state);
  t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t; return ((t ^ t >>> 14) >>> 0) / 4294967296; } })()"""
"""Replaces a page's random numbers by the same ones each time (mulberry32)."""


def open_tab(app: ASGIApp, *, now: datetime = NOW, time_zone: str = "UTC", scripted: bool = False) -> Tab:
    """Open a tab on a site in this process's Chromium, which is started when there is none.

    Args:
        app: the site.
        now: what clocks in the page show; without a zone of its own it is a time in `time_zone`.
        time_zone: of the page, as `Europe/Lisbon`.
        scripted: whether the pages have scripts of others.

    Raises:
        BrowserError: Chromium is not installed, or can't be started.
    """
    return _browsers(os.getpid()).current().open_tab(app, now=now, time_zone=time_zone, scripted=scripted)


def missing_dependency() -> str:
    """Return why there is no browser on this machine, in words; an empty text if there is one."""
    if find_chromium() is None:
        return (
            "Chromium is not installed: install the package chromium-headless-shell of Debian, or name another build in "
            "EEF_CHROMIUM"
        )
    return ""


def find_chromium() -> str | None:
    """Return the path of a Chromium on this machine, None if there is none. Playwright's own report is of another build."""
    named = os.environ.get("EEF_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, EXECUTABLES)), None)


class Chromium:
    """A running Chromium with its Playwright and its loopback server, in a thread of their own. Threads may share it.

    Raises:
        BrowserError: it is not installed, or can't be started.
    """

    def __init__(self) -> None:
        if missing := missing_dependency():
            raise BrowserError(missing)
        self.opened = 0
        self._keys: set[str] = set()  # of the open tabs
        self._work = BackgroundLoop("chromium")
        self._playwright: Playwright
        self._browser: Browser
        self._server: Loopback
        try:
            self._work.run(reported(self._launch()), PATIENCE)
        except BaseException:
            self._work.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it still runs; false after it was killed or closed."""
        return self._browser.is_connected()

    @property
    def idle(self) -> bool:
        """Whether no tab is open."""
        return not self._keys

    def open_tab(self, app: ASGIApp, *, now: datetime, time_zone: str, scripted: bool) -> Tab:
        """Open a tab in a context of its own."""
        self.opened += 1
        key, origin = self._server.add(app), f"http://{HOST}:{self._server.port}"
        self._keys.add(key)
        try:
            context, loads = self._work.run(reported(self._context(origin, key, now, time_zone)), PATIENCE)
        except BaseException:
            self._forget(key)
            raise

        def release() -> None:
            self._forget(key)
            self._work.start(_close_quietly(context))

        return Tab(self._work, loads, origin, release, scripted=scripted)

    def close(self) -> None:
        """End Chromium and all that belongs to it. A second call does nothing."""
        with suppress(
            BrowserError
        ):  # it has ended already, or does not answer: the thread takes the rest with it
            self._work.run(reported(self._end()), PATIENCE)
        self._work.close()

    def _forget(self, key: str) -> None:
        self._keys.discard(key)
        self._server.remove(key)

    async def _launch(self) -> None:
        from playwright.async_api import async_playwright

        self._server = Loopback()
        self._playwright = await async_playwright().start()
        try:
            self._browser = await self._playwright.chromium.launch(
                executable_path=find_chromium(), args=list(_ARGUMENTS), timeout=PATIENCE * 1000
            )
        except BaseException:
            await self._playwright.stop()
            await self._server.close()
            raise

    async def _context(
        self, origin: str, key: str, now: datetime, time_zone: str
    ) -> tuple[BrowserContext, Loads]:
        context = await self._browser.new_context(
            viewport={"width": VIEWPORT[0], "height": VIEWPORT[1]},
            device_scale_factor=1,
            locale="en-US",
            timezone_id=time_zone,
            color_scheme="light",
            reduced_motion="reduce",
            service_workers="block",
            accept_downloads=False,
            extra_http_headers={KEY: key},
        )
        try:
            context.set_default_timeout(SECONDS * 1000)
            await context.route(re.compile(rf"^(?!{re.escape(origin)}/)"), _abort)
            await context.clock.set_fixed_time(in_zone(now, time_zone))
            await context.add_init_script(_SEEDED)
            loads = Loads(await context.new_page())
            context.on("page", _close_other)
        except BaseException:
            await _close_quietly(context)
            raise
        return context, loads

    async def _end(self) -> None:
        try:
            await self._browser.close()
        finally:
            await self._playwright.stop()
            await self._server.close()


def in_zone(now: datetime, time_zone: str) -> datetime:
    """Return an instant: `now` as it is if it says its zone, otherwise the time in `time_zone`."""
    return now if now.tzinfo is not None else now.replace(tzinfo=ZoneInfo(time_zone))


async def _abort(route: Route) -> None:
    await route.abort()


async def _close_other(target: Target) -> None:
    """Close a tab that a page opened: an agent has one."""
    await target.close()


async def _close_quietly(context: BrowserContext) -> None:
    """Close a context; nothing, if its browser has ended."""
    from playwright.async_api import Error

    with suppress(Error):
        await context.close()


class _Browsers:
    """The Chromium of this process, and those before it of which a tab is still open."""

    def __init__(self) -> None:
        self._current: Chromium | None = None
        self._old: list[Chromium] = []
        self._lock = threading.Lock()

    def current(self) -> Chromium:
        """Return the Chromium for the next tab: a new one after some hundred tabs, or when the last one ended."""
        with self._lock:
            now = self._current
            if now is not None and (not now.alive or now.opened >= TABS_A_BROWSER):
                self._old.append(now)
                now = self._current = None
            for old in [old for old in self._old if old.idle or not old.alive]:
                self._old.remove(old)
                old.close()
            if now is None:
                now = self._current = Chromium()
            return now

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            for browser in (*self._old, *filter(None, (self._current,))):
                browser.close()
            self._old.clear()
            self._current = None


@cache
def _browsers(process: int) -> _Browsers:
    """Return the browsers of a process; a process that was forked from another has none of the other's threads."""
    browsers = _Browsers()
    atexit.register(browsers.close)
    return browsers


def close_browsers() -> None:
    """End every Chromium of this process; the next tab starts a new one."""
    _browsers(os.getpid()).close()
