"""The pages of the package `miniwob` as a site: its HTML files served as they are, and how a page is started and read.

Three traps of the pages are avoided. The goal and the last reward stand in the page: neither is shown. The reward shrinks with
time, and an episode ends after ten seconds: the raw reward is read, and the clock stands still. Animations would make a page depend
on when it is looked at: they are off.
"""

from __future__ import annotations

import mimetypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from eefcore.envs.web.tab import Tab
from eefcore.errors import BrowserError, DataError

PAGES = tuple(
    """
    book-flight book-flight-nodelay buy-ticket choose-date choose-date-easy choose-date-medium choose-date-nodelay choose-list
    click-button click-button-sequence click-checkboxes click-checkboxes-large click-checkboxes-soft click-checkboxes-transfer
    click-collapsible click-collapsible-2 click-collapsible-2-nodelay click-collapsible-nodelay click-dialog click-dialog-2 click-link
    click-menu click-menu-2 click-option click-scroll-list click-tab click-tab-2 click-tab-2-easy click-tab-2-hard click-tab-2-medium
    click-test click-test-2 click-test-transfer click-widget copy-paste copy-paste-2 email-inbox email-inbox-delete
    email-inbox-forward email-inbox-forward-nl email-inbox-forward-nl-turk email-inbox-important email-inbox-nl-turk
    email-inbox-noscroll email-inbox-reply email-inbox-star-reply enter-date enter-password enter-text enter-text-2
    enter-text-dynamic enter-time find-greatest find-word focus-text focus-text-2 form-sequence-2 form-sequence-3 generate-number
    guess-number login-user login-user-popup multi-layouts multi-orderings navigate-tree number-checkboxes odd-or-even
    phone-book read-table read-table-2 search-engine simple-algebra simple-arithmetic social-media-all
    social-media-some text-transform unicode-test use-autocomplete use-autocomplete-nodelay
    """.split()
)
"""The pages whose elements can be clicked, filled and chosen from; the others ask to drag, hover, draw, select text or see colours."""

_HIDDEN = "#query, #reward-display, #sync-task-cover, #click-canvas"
_START = """([seed, hidden]) => {
  const sheet = document.createElement('style');
  sheet.textContent = `${hidden} { display: none !important }`;
  document.head.append(sheet);
  if (window.jQuery) jQuery.fx.off = true;
  Math.seedrandom(seed);
  core.EPISODE_MAX_TIME = 2 ** 31 - 1;
  core.startEpisodeReal();
  window[Symbol.for('eefcore.started')] = true;
  return core.getUtterance();
}"""
_RESULT = (
    """() => window[Symbol.for('eefcore.started')] ? [WOB_DONE_GLOBAL, WOB_RAW_REWARD_GLOBAL] : [true, 0]"""
)


class Result(NamedTuple):
    """Whether a task is over, and its raw reward, from -1 to 1."""

    done: bool
    reward: float


def html_folder() -> Path:
    """Return the folder of the package's HTML files.

    Raises:
        DataError: the package is not installed.
    """
    spec = find_spec("miniwob")
    if spec is None or spec.origin is None:
        raise DataError(
            "the package miniwob is not installed; install it with `pip install 'eefcore[miniwob]'`"
        )
    return Path(spec.origin).parent / "html"


def start(tab: Tab, page: str, seed: str) -> str:
    """Open a page and start its task, and return the goal in words; equal seeds give equal tasks."""
    tab.open(f"/miniwob/{page}.html")
    goal = tab.evaluate(_START, [seed, _HIDDEN])
    tab.look()
    return str(goal)


def result(tab: Tab) -> Result:
    """Return whether the task in a tab is over, and with which reward; a page that was left is over with 0."""
    done, reward = tab.evaluate(_RESULT)
    return Result(bool(done), float(reward))


async def site(scope: Any, receive: Any, send: Any) -> None:
    """Serve the files of the package: an ASGI application."""
    if scope["type"] != "http":
        raise BrowserError(f"a site of files answers http, not {scope['type']}")
    content = _file(scope["path"])
    kind = mimetypes.guess_type(scope["path"])[0] or "application/octet-stream"
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(content or b"")).encode())]
    await send({"type": "http.response.start", "status": 404 if content is None else 200, "headers": headers})
    await send({"type": "http.response.body", "body": content or b""})


@cache
def _file(path: str) -> bytes | None:
    """Return the content of a file of the package, None if there is none of that path."""
    root = html_folder().resolve()
    file = (root / path.lstrip("/")).resolve()
    return file.read_bytes() if file.is_relative_to(root) and file.is_file() else None
