"""A form's submission as the request that browsers make of it: HTML's "constructing the entry list", held against Chromium by a test.

Only forms that are sent by GET, or by POST as `application/x-www-form-urlencoded`, are played. Where Chromium and the standard
differ we do as Chromium: it sends what is in a `<datalist>`, and `Submit` for an `<input type=submit>` without a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from eefcore.envs.web.address import resolved, with_query
from eefcore.envs.web.page import Control, Form, Kind, Page
from eefcore.errors import BrowserError

URLENCODED = "application/x-www-form-urlencoded"


class Request(NamedTuple):
    """A request of a browser: method, address on the site, and the form that it sends, urlencoded."""

    method: str
    address: str
    body: str = ""


def submission(page: Page, address: str, form: int, submitter: Control | None) -> Request:
    """Return the request that sends a form of the page at `address` by a button, or by none.

    Raises:
        BrowserError: the form leads off the site, or is sent in another way than the two that are played.
    """
    how = _sent_as(page, form, submitter)
    if (target := destination(page, address, form, submitter)) is None:
        raise BrowserError(f"{address}: a form is sent to {how.action!r}, which is not on the site")
    query = urlencoded(entries(page, form, submitter))
    match how:
        case Form(method="get"):
            return Request("GET", with_query(target, query))
        case Form(method="post", encoding="application/x-www-form-urlencoded"):
            return Request("POST", target, query)
    raise BrowserError(
        f"{address}: a form with method {how.method} and encoding {how.encoding} can't be sent; expected get, or post "
        f"with {URLENCODED}"
    )


def destination(page: Page, address: str, form: int, submitter: Control | None) -> str | None:
    """Return where a form of the page at `address` is sent by a button, or by none; None if that is not on the site."""
    action = _sent_as(page, form, submitter).action
    return resolved(action, address) if action else address


def default_button(page: Page, form: int) -> Control | None:
    """Return the first enabled submit button of a form, which sends it when no other is named."""
    return next((c for c in page.of_form(form) if is_submit(c) and not c.disabled), None)


def is_submit(control: Control) -> bool:
    """Return whether a control is a submit button."""
    return control.kind is Kind.BUTTON and control.type == "submit"


def entries(page: Page, form: int, submitter: Control | None) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a form's successful controls, in document order; of its buttons only the submitter's."""
    for control in page.of_form(form):
        if control.disabled or not control.name:
            continue
        match control.kind:
            case Kind.BUTTON:
                if submitter is not None and control.position == submitter.position:
                    yield control.name, control.value
            case Kind.CHECKBOX | Kind.RADIO:
                if control.checked:
                    yield control.name, control.value
            case Kind.SELECT:
                for i in control.chosen:
                    if not control.choices[i].disabled:
                        yield control.name, control.choices[i].value
            case Kind.UNSEEN if control.name.lower() == "_charset_":
                yield control.name, "UTF-8"
            case _:
                yield control.name, control.value


def urlencoded(pairs: Iterator[tuple[str, str]]) -> str:
    """Return names and values in the encoding of forms; line ends become CR LF."""
    from ada_url import URLSearchParams

    params = URLSearchParams("")
    for name, value in pairs:
        params.append(_crlf(name), _crlf(value))
    return str(params)


def _sent_as(page: Page, form: int, submitter: Control | None) -> Form:
    return page.forms[form] if submitter is None or submitter.override is None else submitter.override


def _crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
