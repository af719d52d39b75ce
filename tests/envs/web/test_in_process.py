from __future__ import annotations

import asyncio

import pytest
from helpers.small_site import State, make_app

from eefcore.envs.web.browsing import Browsing
from eefcore.envs.web.in_process import MAX_REDIRECTS, InProcess, Response, call
from eefcore.envs.web.page import Control, Kind
from eefcore.envs.web.submission import Request
from eefcore.errors import BrowserError


def answering(*headers: tuple[str, str], status: int = 200, body: str = "", content: str = "text/html"):
    """An application that gives one answer, and a list of the scopes that it was called with."""
    scopes: list[dict] = []

    async def app(scope, receive, send):
        scopes.append({**scope, "body": (await receive())["body"]})
        pairs = [(b"content-type", content.encode()), *((k.encode(), v.encode()) for k, v in headers)]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body[:3].encode(), "more_body": True})
        await send({"type": "http.response.body", "body": body[3:].encode()})

    return app, scopes


def routed(**pages: tuple[int, str, str]):
    """An application of pages by their path without the slash: status, location and body."""

    async def app(scope, receive, send):
        status, location, body = pages[scope["path"].strip("/") or "home"]
        headers = [(b"content-type", b"text/html"), (b"location", location.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": f"{body}<p>{scope['method']}</p>".encode()})

    return app


def link_to(href: str) -> Control:
    return Control(position=0, id=1, kind=Kind.LINK, type="a", href=href)


def texts(driver: InProcess) -> list[str]:
    return [line.text for line in driver.page.lines]


def test_a_request_reaches_the_application_as_from_a_browser():
    app, scopes = answering(body="<p>héllo")
    answer = call(app, Request("POST", "/a%20b?q=é%20", "x=1"), {"sid": "s", "t": "u"}, "/before")
    assert answer == Response(200, (("content-type", "text/html"),), "<p>héllo".encode())
    (scope,) = scopes
    assert (scope["method"], scope["path"], scope["raw_path"], scope["body"]) == (
        "POST",
        "/a b",
        b"/a%20b",
        b"x=1",
    )
    headers = dict(scope["headers"])
    assert headers[b"host"] == b"127.0.0.1" and headers[b"cookie"] == b"sid=s; t=u"
    assert (
        headers[b"content-type"] == b"application/x-www-form-urlencoded"
        and headers[b"content-length"] == b"3"
    )
    assert headers[b"referer"] == b"http://127.0.0.1/before" and headers[b"origin"] == b"http://127.0.0.1"


def test_redirects_are_followed_as_browsers_do():
    driver = InProcess(
        routed(
            home=(
                200,
                "",
                "<form method=post action=/post><button>1</button><button formaction=/keep>2</button></form>",
            ),
            post=(303, "/end?x=1", ""),
            place=(302, "/end", ""),
            keep=(307, "/end", ""),
            end=(200, "", ""),
            loop=(302, "/loop", ""),
            off=(302, "//out.example", ""),
        )
    )
    driver.open("/")
    home = driver.snapshot()
    driver.click(driver.page.controls[0])
    assert (driver.address, texts(driver)) == ("/end?x=1", ["GET"])
    driver.restore(home)
    driver.click(driver.page.controls[1])
    assert (driver.address, texts(driver)) == ("/end", ["POST"])
    driver.click(link_to("/place#here"))
    assert driver.address == "/end#here"
    driver.click(link_to("#there"))
    assert (driver.address, texts(driver)) == ("/end#there", ["GET"])
    with pytest.raises(BrowserError, match=f"more than {MAX_REDIRECTS} redirects"):
        driver.open("/loop")
    with pytest.raises(BrowserError, match="not on the site"):
        driver.open("/off")
    assert driver.address == "/end#there"


def test_cookies_are_kept_replaced_and_taken_back():
    headers = [
        ("set-cookie", "a=1; Path=/; HttpOnly"),
        ("set-cookie", "b=2; SameSite=lax"),
        ("set-cookie", 'c="x y"'),
    ]
    driver = InProcess(answering(*headers)[0])
    driver.open("/")
    assert driver.snapshot().cookies == (("a", "1"), ("b", "2"), ("c", '"x y"'))
    driver._app, _ = answering(
        ("set-cookie", "a=3"),
        ("set-cookie", "b=; Max-Age=0"),
        ("set-cookie", "c=; expires=Thu, 01 Jan 1970 00:00:00 GMT"),
    )
    driver.open("/")
    assert driver.snapshot().cookies == (("a", "3"),)


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (answering(status=500)[0], "status 500"),
        (answering(content="application/json")[0], "application/json"),
        (answering(("set-cookie", "=; Path=/"))[0], "cookie"),
    ],
)
def test_a_site_that_does_not_answer_as_a_site_should_is_an_error(app, words):
    with pytest.raises(BrowserError, match=words):
        InProcess(app).open("/")


def test_a_handler_that_awaits_or_says_nothing_is_refused():
    async def awaits(scope, receive, send):
        await asyncio.sleep(0)

    async def silent(scope, receive, send):
        pass

    with pytest.raises(BrowserError, match="awaits"):
        InProcess(awaits).open("/")
    with pytest.raises(BrowserError, match="without an answer"):
        InProcess(silent).open("/")


def test_plain_text_is_shown():
    driver = InProcess(answering(body="a <b> & c", content="text/plain; charset=utf-8")[0])
    driver.open("/")
    assert texts(driver) == ["a <b> & c"]


def test_a_snapshot_is_where_the_browser_was_with_what_was_typed():
    state = State()
    driver = InProcess(make_app(state))
    browsing = Browsing(driver)
    browsing.open("/")
    browsing.act("CLICK [20]")
    browsing.act("GOTO [/form]")
    browsing.act("TYPE [4] [Ann]")
    kept, visit = state.copy(), driver.snapshot()
    before = browsing.observation
    browsing.act("SUBMIT [4]")
    assert driver.address == "/log" and state.digest() != kept.digest()
    state.load(kept)
    driver.restore(visit)
    assert browsing.observation == before and "Ann" in before
    browsing.act("SUBMIT [4]")
    assert "name=Ann" in browsing.observation


def test_there_is_no_screen_and_nothing_to_close():
    driver = InProcess(answering()[0])
    assert driver.screenshot() is None
    driver.close()


def test_a_button_of_no_form_does_nothing_and_a_reset_button_resets():
    html = "<form><input name=a value=x><button type=reset>r</button><button type=button>b</button></form><button>s</button>"
    driver = InProcess(answering(body=html)[0])
    driver.open("/")
    field, reset, *nothing = driver.page.controls
    first = driver.page
    driver.fill(field, "y")
    for button in nothing:
        driver.click(button)
    driver.submit(nothing[1])
    assert driver.page.controls[0].value == "y"
    driver.click(reset)
    assert driver.page == first
