"""A site played without a browser: its ASGI application is called by hand, and what a browser does is done on pages.

A request is answered in the time of its handler, as there is no socket, no event loop and no thread between. So the handler
must never truly await: `async def` endpoints on SQLite in memory do not, but `def` endpoints, which Starlette moves to a
thread, and `BaseHTTPMiddleware` do; they are refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from html import escape
from http.cookies import SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import unquote

from eefcore.envs.web.address import HOST, ORIGIN, resolved, to_open, within_page, without_fragment
from eefcore.envs.web.driver import Visit
from eefcore.envs.web.page import Control, Kind, Page
from eefcore.envs.web.parsing import parse
from eefcore.envs.web.submission import URLENCODED, Request, default_button, is_submit, submission
from eefcore.errors import BrowserError

Message = MutableMapping[str, Any]
ASGIApp = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
"""An ASGI 3 application, as Starlette's are."""

MAX_REDIRECTS = 20  # as many as Chromium follows

_REDIRECTS = (301, 302, 303, 307, 308)


class Response(NamedTuple):
    """The answer of a site: status, headers with lower-case names, and body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of a name, None if there is none."""
        return next((value for key, value in self.headers if key == name), None)


class InProcess:
    """A browser without a screen and without scripts, on an ASGI site: an `eefcore.envs.web.driver.Driver`.

    Cookies are the whole site's and last as long as the session, whatever their path and expiry say, but that an expiry in the
    past, or of age 0, removes one. Snapshots are immutable, and `restore` takes no time.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._visit = Visit()

    @property
    def address(self) -> str:
        """The path, query and fragment of the page."""
        return self._visit.address

    @property
    def page(self) -> Page:
        """The page as it is now, with what was typed and chosen."""
        return self._visit.page

    def open(self, address: str) -> None:
        """Go to a path of the site; raise BrowserError if it is none, or if the site does not answer as it should."""
        self._load(Request("GET", to_open(address, self.address)))

    def click(self, control: Control) -> None:
        """Do what a click does: follow, submit, reset, tick, choose, open or close. A button without a form does nothing."""
        match control.kind:
            case Kind.LINK:
                self._follow(control.href)
            case Kind.BUTTON if is_submit(control) and control.form is not None:
                self._send(submission(self.page, self.address, control.form, control))
            case Kind.BUTTON if control.type == "reset" and control.form is not None:
                self._show(self.page.cleared_form(control.form))
            case Kind.CHECKBOX | Kind.RADIO | Kind.DETAILS:
                self._show(self.page.toggled(control))

    def fill(self, control: Control, value: str) -> None:
        """Put `value` into a field, in place of what is there."""
        self._show(self.page.filled(control, value))

    def choose(self, control: Control, chosen: tuple[int, ...]) -> None:
        """Choose these choices of a select, and no others."""
        self._show(self.page.choosing(control, chosen))

    def submit(self, control: Control) -> None:
        """Send the form of a control by its first enabled submit button."""
        if control.form is not None:
            button = default_button(self.page, control.form)
            self._send(submission(self.page, self.address, control.form, button))

    def snapshot(self) -> Visit:
        """Return where the browser is."""
        return self._visit

    def restore(self, visit: Visit) -> None:
        """Go to where a browser was."""
        self._visit = visit

    def screenshot(self, control: Control | None = None) -> None:
        """Return None: there is no screen."""

    def close(self) -> None:
        """Do nothing: nothing is held."""

    def _show(self, page: Page) -> None:
        self._visit = Visit(self._visit.address, self._visit.cookies, page)

    def _follow(self, href: str) -> None:
        if (target := resolved(href, self.address)) is None:
            raise BrowserError(f"{self.address}: the link to {href!r} leads off the site")
        self._send(Request("GET", target))

    def _send(self, request: Request) -> None:
        """Make a request; one for a place in the same page loads nothing, as in browsers."""
        if request.method == "GET" and within_page(request.address, self.address):
            page = _at_fragment(self.page, request.address)
            self._visit = Visit(request.address, self._visit.cookies, page)
        else:
            self._load(request)

    def _load(self, request: Request) -> None:
        """Make a request, follow its redirects, and show the page at their end."""
        cookies, referrer = dict(self._visit.cookies), without_fragment(self.address)
        for _ in range(MAX_REDIRECTS + 1):
            response = call(self._app, request, cookies, referrer)
            _update(cookies, response)
            if (location := _location(response)) is None:
                page = _at_fragment(parse(_document(request.address, response)), request.address)
                self._visit = Visit(request.address, tuple(cookies.items()), page)
                return
            request = _redirected(request, response.status, location)
        raise BrowserError(f"{request.address}: more than {MAX_REDIRECTS} redirects")


def _at_fragment(page: Page, address: str) -> Page:
    _, mark, fragment = address.partition("#")
    return page.revealing(fragment) if mark else page


def call(app: ASGIApp, request: Request, cookies: dict[str, str], referrer: str = "/") -> Response:
    """Return an application's answer to one request, without an event loop.

    Raises:
        BrowserError: the application truly awaits something, or ends without an answer. What it raises itself goes through.
    """
    path, _, query = without_fragment(request.address).partition("?")
    body = request.body.encode()
    answer: dict[str, Any] = {"body": b""}

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.update(status=message["status"], headers=message.get("headers", ()))
        elif message["type"] == "http.response.body":
            answer["body"] += message.get("body", b"")

    scope = _scope(request.method, path, query, _headers(request, body, cookies, referrer))
    work = app(scope, receive, send).__await__()
    try:
        next(work)
    except StopIteration:
        pass
    else:
        work.close()
        raise BrowserError(
            f"{request.method} {request.address}: the site's handler awaits something; a site in process answers at once, with "
            "`async def` endpoints and without BaseHTTPMiddleware"
        )
    if "status" not in answer:
        raise BrowserError(f"{request.method} {request.address}: the site ended without an answer")
    headers = tuple((key.decode("latin-1").lower(), v.decode("latin-1")) for key, v in answer["headers"])
    return Response(answer["status"], headers, answer["body"])


def _headers(request: Request, body: bytes, cookies: dict[str, str], referrer: str) -> list[tuple[str, str]]:
    headers = [("host", HOST), ("accept", "text/html"), ("referer", ORIGIN + referrer)]
    if request.method == "POST":
        headers += [("origin", ORIGIN), ("content-type", URLENCODED), ("content-length", str(len(body)))]
    if cookies:
        headers.append(("cookie", "; ".join(f"{name}={value}" for name, value in cookies.items())))
    return headers


def _scope(method: str, path: str, query: str, headers: list[tuple[str, str]]) -> Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "client": (HOST, 0),
        "server": (HOST, 80),
        "state": {},
    }


def _location(response: Response) -> str | None:
    return response.header("location") if response.status in _REDIRECTS else None


def _redirected(request: Request, status: int, location: str) -> Request:
    """Return the request that a redirect asks for: a POST becomes a GET, unless the status says that it stays."""
    if (target := resolved(location, request.address)) is None:
        raise BrowserError(f"{request.address}: the site redirects to {location!r}, which is not on the site")
    if "#" not in target:  # the place that was asked for stays
        target += request.address.removeprefix(without_fragment(request.address))
    if status in (307, 308):
        return request._replace(address=target)
    return Request("GET", target)


def _update(cookies: dict[str, str], response: Response) -> None:
    """Put the cookies that a response sets into `cookies`, and remove those that it takes back."""
    for key, value in response.headers:
        if key != "set-cookie":
            continue
        if not (morsels := SimpleCookie(value).values()):
            raise BrowserError(f"the site sets a cookie that is none: {value!r}")
        for morsel in morsels:
            cookies.pop(morsel.key, None)
            if morsel["max-age"] != "0" and "1970" not in morsel["expires"]:
                cookies[morsel.key] = morsel.coded_value


def _document(address: str, response: Response) -> str:
    """Return the HTML that a browser shows of a response; plain text is shown as Chromium shows it."""
    content = response.header("content-type") or ""
    text = response.body.decode("utf-8", errors="replace")
    if response.status >= 500:
        raise BrowserError(f"{address}: the site answers with status {response.status}: {text[:200]}")
    match content.partition(";")[0].strip().lower():
        case "text/html":
            return text
        case "text/plain":
            return f"<html><head></head><body><pre>{escape(text, quote=False)}</pre></body></html>"
    raise BrowserError(
        f"{address}: the site answers with status {response.status} and content type {content!r}; expected text/html"
    )
