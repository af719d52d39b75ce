"""A tab of Chromium on one site: an `eefcore.envs.web.driver.Driver`; `eefcore.envs.web.chromium` opens it and says how it behaves."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, TypeVar

from eefcore.envs.web.address import to_open, within_page
from eefcore.envs.web.background_loop import BackgroundLoop
from eefcore.envs.web.driver import Visit
from eefcore.envs.web.page import Control, Kind, Page
from eefcore.envs.web.parsing import CONTROLS, IGNORED, LIVE, parse
from eefcore.envs.web.submission import default_button, is_submit, submission
from eefcore.errors import BrowserError, ReplayMismatch

if TYPE_CHECKING:
    from playwright.async_api import ElementHandle, Request, Response
    from playwright.async_api import Page as Target

SECONDS = 30.0
"""How long one thing that Playwright does may take."""

PATIENCE = 120.0
"""How long all that an action needs may take, on a machine that is busy."""

LOOKS = 5
"""How often a page of others is looked at again because a script loaded another one meanwhile."""

_LOOK = r"""([controls, ignored, live, scripted]) => {
  const originals = [...document.querySelectorAll('*')], root = document.documentElement.cloneNode(true);
  const copies = [root, ...root.querySelectorAll('*')], found = [];
  originals.forEach((element, i) => {
    const copy = copies[i];
    if (element.closest(ignored) || element.parentElement?.closest('select')) return;
    if (scripted) {
      const style = getComputedStyle(element), parent = element.parentElement;
      if (!element.closest('details:not([open])') && !element.checkVisibility({ visibilityProperty: true })) copy.hidden = true;
      else if (style.cursor === 'pointer' && !copy.matches(controls) && !element.querySelector(controls) && !element.closest(controls)
               && !(parent && getComputedStyle(parent).cursor === 'pointer')) copy.setAttribute('role', 'button');
    }
    if (element instanceof HTMLInputElement && element.type !== 'hidden')
      copy.setAttribute(live, ['checkbox', 'radio'].includes(element.type) ? (element.checked ? '1' : '') : element.value);
    else if (element instanceof HTMLTextAreaElement) {
      copy.setAttribute(live, element.value);
      if (copy.textContent.startsWith('\n')) copy.prepend('\n');  // HTML takes the first line end of a text area away
    }
    else if (element instanceof HTMLSelectElement)
      copy.setAttribute(live, [...element.selectedOptions].map(option => option.index).join(','));
    if (copy.matches(controls)) found.push(element);
  });
  window[Symbol.for('eefcore.controls')] = found;
  const doctype = document.compatMode === 'CSS1Compat' ? '<!doctype html>' : '';
  const nested = document.querySelector('form form') !== null;
  return [doctype + root.outerHTML, nested ? -1 : found.length, location.href.slice(location.origin.length)];
}"""
"""Returns the page with what its controls hold, from a copy (the page itself is not touched), their number, -1 where forms are nested,
and the address."""

_CONTROL = """i => {
  const element = window[Symbol.for('eefcore.controls')][i];
  if (element?.form) element.form.noValidate = true;
  return element;
}"""
_IN_REACH = """element => {
  element.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  const box = element.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return top !== null && element.contains(top);
}"""
_SUBMIT = """([i, button]) => {
  const controls = window[Symbol.for('eefcore.controls')], form = controls[i].form;
  form.noValidate = true; form.requestSubmit(button === null ? null : controls[button]);
}"""
_PUT = """changes => {
  const controls = window[Symbol.for('eefcore.controls')];
  for (const [i, key, value] of changes) {
    const element = controls[i];
    if (key === 'open') { element.parentElement.open = value; continue; }
    if (key === 'chosen') [...element.options].forEach((option, j) => { option.selected = value.includes(j); });
    else element[key] = value;
    for (const name of ['input', 'change']) element.dispatchEvent(new Event(name, { bubbles: true }));
  }
}"""
_SETTLED = "() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))"

Result = TypeVar("Result")


class Tab:
    """A browser with one tab, in a context of its own. Close it, or use it in a `with` block; what is forgotten is closed as well."""

    def __init__(
        self,
        work: BackgroundLoop,
        loads: Loads,
        origin: str,
        release: Callable[[], None],
        *,
        scripted: bool,
    ) -> None:
        self._work, self._loads, self._origin, self._scripted = work, loads, origin, scripted
        self._target, self._visit = loads.target, Visit()
        self._release = weakref.finalize(self, release)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The path, query and fragment of the page."""
        return self._visit.address

    @property
    def page(self) -> Page:
        """The page as it was after the last action; `look` takes it anew."""
        return self._visit.page

    def open(self, address: str) -> None:
        """Go to a path of the site; raise BrowserError if it is none, or if the site does not answer as it should."""
        self._do(self._goto(to_open(address, self.address)))

    def click(self, control: Control) -> None:
        """Click an element with the mouse, and wait for the page that it loads, if it loads one."""
        self._do(self._click(control))

    def fill(self, control: Control, value: str) -> None:
        """Put `value` into a field, in place of what is there."""
        self._do(self._fill(control, value))

    def choose(self, control: Control, chosen: tuple[int, ...]) -> None:
        """Choose these choices of a select, and no others."""
        self._do(self._put([(control.position, "chosen", list(chosen))]))

    def submit(self, control: Control) -> None:
        """Send the form of a control by its first enabled submit button."""
        if control.form is not None:
            button = default_button(self.page, control.form)
            self._do(self._submit(control, button))

    def look(self) -> Page:
        """Return the page as it is now, after what its scripts did meanwhile."""
        self._do(_nothing())
        return self.page

    def evaluate(self, script: str, argument: object = None) -> Any:
        """Return what a JavaScript function returns in the page, as JSON would give it; the page is not looked at again."""
        return self._run(self._target.evaluate(script, argument))

    def snapshot(self) -> Visit:
        """Return where the browser is."""
        cookies = self._run(self._target.context.cookies())
        pairs = tuple((c.get("name", ""), c.get("value", "")) for c in cookies)
        return Visit(self.address, pairs, self.page)

    def restore(self, visit: Visit) -> None:
        """Load the page of a visit with its cookies, and put into its controls what they held.

        Raises:
            ReplayMismatch: the site shows another page there. Its own state has to be restored before.
        """
        self._do(self._go_back(visit))
        if self.page != visit.page or self.address != visit.address:
            raise ReplayMismatch(f"{visit.address}: {_difference(visit, self._visit)}")

    def screenshot(self, control: Control | None = None) -> bytes:
        """Return a PNG of the screen, from the top of the page or scrolled to a control."""
        return self._run(self._shoot(control))

    def close(self) -> None:
        """Close the tab and its context. A second call does nothing."""
        self._release()

    def _do(self, work: Awaitable[None]) -> None:
        """Wait for what changes the page, and look at the page."""
        self._visit = Visit(*self._run(self._then_look(work)))

    def _run(self, work: Awaitable[Result]) -> Result:
        return self._work.run(reported(work), PATIENCE)

    async def _then_look(self, work: Awaitable[None]) -> tuple[str, tuple[tuple[str, str], ...], Page]:
        await work
        if self._scripted:
            await self._loads.settle()
        html, count, address = await self._look()
        page = parse(html)
        if len(page.controls) != count:
            raise BrowserError(
                f"{address}: the page's elements lie in each other in a way that HTML can't write, as a form in a form; is one "
                "left open?"
            )
        return address, (), page

    async def _look(self) -> tuple[str, int, str]:
        """Return the page as HTML, the number of its controls, and its address.

        A script may load another page while this one is looked at; then the other one is looked at.
        """
        from playwright.async_api import Error

        arguments = [CONTROLS, ",".join(IGNORED), LIVE, self._scripted]
        for _ in range(LOOKS if self._scripted else 0):
            try:
                return await self._target.evaluate(_LOOK, arguments)
            except Error as error:
                if "context was destroyed" not in str(error):
                    raise
            await self._target.wait_for_load_state("load")
        return await self._target.evaluate(_LOOK, arguments)

    async def _goto(self, address: str) -> None:
        _check(await self._target.goto(self._origin + address, wait_until="load"), address)

    async def _click(self, control: Control) -> None:
        element = await self._element(control)
        if self._scripted or not self._loads_page(control):
            # On pages of others elements may lie over each other: one that the mouse can't reach gets the click itself.
            if not self._scripted or await element.evaluate(_IN_REACH):
                await element.click()
            else:
                await element.evaluate("element => element.click()")
            await element.dispose()
        else:
            await self._loading(element.click(no_wait_after=True))

    async def _submit(self, control: Control, button: Control | None) -> None:
        work = self._target.evaluate(_SUBMIT, [control.position, None if button is None else button.position])
        if self._scripted or not self._sends(control, button):
            await work
        else:
            await self._loading(work)

    async def _loading(self, work: Awaitable[object]) -> None:
        """Do what has to load a page, and wait for it."""
        count = self._loads.asked
        await work
        _check(await self._loads.next_after(count), self.address)

    async def _fill(self, control: Control, value: str) -> None:
        element = await self._element(control)
        await element.fill(value)
        await element.dispose()

    async def _put(self, changes: list[tuple[int, str, object]]) -> None:
        if changes:
            await self._target.evaluate(_PUT, changes)

    async def _go_back(self, visit: Visit) -> None:
        context = self._target.context
        await context.clear_cookies()
        if visit.cookies:
            await context.add_cookies(
                [{"name": n, "value": v, "url": self._origin} for n, v in visit.cookies]
            )
        if within_page(visit.address, self.address):
            await self._target.goto(
                "about:blank"
            )  # a browser loads no page for a place in the one that it shows
        await self._goto(visit.address)
        await self._then_look_and_put(visit.page)

    async def _then_look_and_put(self, page: Page) -> None:
        _, _, loaded = await self._then_look(_nothing())
        await self._put(list(_changes(loaded, page)))

    async def _shoot(self, control: Control | None) -> bytes:
        if control is None:
            await self._target.evaluate("() => window.scrollTo(0, 0)")
        else:
            await (await self._element(control)).evaluate(
                "element => element.scrollIntoView({ block: 'start' })"
            )
        return await self._target.screenshot(animations="disabled")

    async def _element(self, control: Control) -> ElementHandle:
        found = (await self._target.evaluate_handle(_CONTROL, control.position)).as_element()
        if found is None:
            raise BrowserError(f"{self.address}: the page has no control {control.position} any more")
        return found

    def _loads_page(self, control: Control) -> bool:
        """Return whether a click loads a page, as it does unless it leads to a place in the present one."""
        if control.kind is Kind.LINK:
            return not within_page(control.href, self.address)
        return is_submit(control) and self._sends(control, control)

    def _sends(self, control: Control, button: Control | None) -> bool:
        if control.form is None:
            return False
        request = submission(self.page, self.address, control.form, button)
        return request.method != "GET" or not within_page(request.address, self.address)


class Loads:
    """The pages that a tab was asked to load and has loaded, counted.

    Playwright's own waiting for a navigation needs to know beforehand that there is one. To be made in the thread of the loop.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.asked = self._ended = 0
        self._answer: Response | None = None
        self._changed = asyncio.Event()
        target.on("request", self._on_request)
        target.on("response", self._on_response)
        target.on("requestfailed", self._on_failure)
        target.on("load", self._on_load)

    async def next_after(self, count: int) -> Response | None:
        """Wait for the page after the first `count`; return the site's answer, None if it never came."""
        async with asyncio.timeout(SECONDS):
            while self.asked <= count or self._ended < self.asked:
                self._changed.clear()
                await self._changed.wait()
        return self._answer

    async def settle(self) -> None:
        """Wait until scripts had their turn, and until a page that is on its way has loaded."""
        from playwright.async_api import Error

        try:
            await self.target.evaluate(_SETTLED)
        except Error as error:
            if "context was destroyed" not in str(error):
                raise
        if self.asked:
            await self.next_after(self.asked - 1)

    def _on_request(self, request: Request) -> None:
        if self._is_page(request) and request.redirected_from is None:
            self.asked, self._answer = self.asked + 1, None
            self._changed.set()

    def _on_response(self, response: Response) -> None:
        if self._is_page(response.request):
            self._answer = response

    def _on_failure(self, request: Request) -> None:
        if self._is_page(request):
            self._answer = None
            self._on_load()

    def _on_load(self, _: object = None) -> None:
        self._ended = min(self._ended + 1, self.asked)
        self._changed.set()

    def _is_page(self, request: Request) -> bool:
        return request.is_navigation_request() and request.frame == self.target.main_frame


async def reported(work: Awaitable[Result]) -> Result:
    """Wait for what Playwright does; raise BrowserError with its words if it fails."""
    from playwright.async_api import Error

    try:
        return await work
    except Error as error:
        raise BrowserError(f"Chromium failed: {str(error).strip()[:1000]}") from error
    except TimeoutError as error:
        raise BrowserError(f"Chromium did not load a page within {SECONDS:g} s") from error


async def _nothing() -> None:
    """Do nothing."""


def _check(response: Response | None, address: str) -> None:
    """Raise BrowserError unless a page of HTML or plain text came, which is no failure of the site."""
    if response is None:
        raise BrowserError(f"{address}: the site, or a page that it leads to, does not answer")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status >= 500 or kind not in ("text/html", "text/plain"):
        raise BrowserError(
            f"{address}: the site answers with status {response.status} and content type {kind!r}; expected text/html"
        )


def _changes(loaded: Page, page: Page) -> Iterator[tuple[int, str, object]]:
    """Yield what to put into the controls of a page that was loaded, so that they hold what those of `page` hold."""
    for now, then in zip(loaded.controls, page.controls, strict=False):
        if now == then:
            continue
        match then.kind:
            case Kind.FIELD:
                yield then.position, "value", then.value
            case Kind.SELECT:
                yield then.position, "chosen", list(then.chosen)
            case Kind.CHECKBOX | Kind.RADIO:
                yield then.position, "checked", then.checked
            case Kind.DETAILS:
                yield then.position, "open", then.checked


def _difference(expected: Visit, shown: Visit) -> str:
    """Return in words where two visits differ first."""
    if expected.address != shown.address:
        return f"the browser was sent to {shown.address}"
    for old, new in zip(expected.page.controls, shown.page.controls, strict=False):
        if old != new:
            return f"expected {old}, the site shows {new}"
    for line, other in zip(expected.page.lines, shown.page.lines, strict=False):
        if line != other:
            return f"expected the line {line.text!r}, the site shows {other.text!r}"
    return "the site shows another page than before"
