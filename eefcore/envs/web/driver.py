"""What a browser has to offer for an agent to play a site: open an address, click, fill, submit, go back to a snapshot.

Two drivers have these methods and show equal pages: `eefcore.envs.web.in_process.InProcess` calls the site's ASGI application by
hand, `eefcore.envs.web.chromium.Tab` drives a Chromium. A site's environment holds a driver and its database:

    app = make_app(database)                    # every request is answered without truly awaiting
    driver = InProcess(app)                     # or chromium.shared().tab(app, now=…)
    driver.open("/")                            # driver.page, driver.address
    visit, data = driver.snapshot(), database.serialize()
    …
    database.deserialize(data); driver.restore(visit)

`eefcore.envs.web.browsing.Browsing` puts a driver, the window that is shown and the agent's actions together: its `act` takes
the text of an action and returns the next observation.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from eefcore.envs.web.page import Control, Page


class Visit(msgspec.Struct, frozen=True):
    """Where a browser is: the address of its page, the session's cookies, and the page with what was typed into it.

    It is immutable and belongs to no driver: a visit of one driver is restored in another, or in another process. The
    site's own state is not in it, so restore the site's database first.
    """

    address: str = "/"  # path, query and fragment
    cookies: tuple[tuple[str, str], ...] = ()
    page: Page = Page()


class Driver(Protocol):
    """A browser with one tab on one site. What is to be clicked or filled is a control of the present page.

    Checks of what an agent asks for are made before (`eefcore.envs.web.actions`): a driver is given visible, enabled
    controls, addresses of the site, and values that the control takes. Constraint validation of forms is off: sites
    answer a wrong value with an error in the page. Each method raises BrowserError if the browser fails or the site does not
    answer as a site should; the episode then is an environment failure.
    """

    @property
    def address(self) -> str:
        """The path, query and fragment of the page."""

    @property
    def page(self) -> Page:
        """The page as it is now, with what was typed and chosen."""

    def open(self, address: str) -> None:
        """Go to a path of the site, which may have a query."""

    def click(self, control: Control) -> None:
        """Follow a link, press a button, tick a checkbox, choose a radio button, open or close a details line."""

    def fill(self, control: Control, value: str) -> None:
        """Put `value` into a field, in place of what is there."""

    def choose(self, control: Control, chosen: tuple[int, ...]) -> None:
        """Choose these choices of a select, and no others."""

    def submit(self, control: Control) -> None:
        """Send the form of a control by its first enabled submit button, or by none if it has no such button."""

    def snapshot(self) -> Visit:
        """Return where the browser is."""

    def restore(self, visit: Visit) -> None:
        """Go to where a browser was; raise ReplayMismatch if the site does not show the same page there."""

    def screenshot(self, control: Control | None = None) -> bytes | None:
        """Return a PNG of the screen, from the top of the page or scrolled to a control; None without a screen."""

    def close(self) -> None:
        """Give back what the driver holds; it can't be used afterwards."""
