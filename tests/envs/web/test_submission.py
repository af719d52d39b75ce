from __future__ import annotations

import pytest

from eefcore.envs.web.parsing import parse
from eefcore.envs.web.submission import Request, default_button, submission
from eefcore.errors import BrowserError


def sent(html: str, button: int | None = None, address: str = "/here?x=1#y") -> Request:
    """The request of the first form of a page, sent by the button of an id or by none."""
    page = parse(html)
    return submission(page, address, 0, None if button is None else page.control(button))


@pytest.mark.parametrize(
    ("inside", "body"),
    [
        ("<input name=a value='x y'>", "a=x+y"),
        ("<input value=x><input name='' value=x>", ""),
        ("<input name=a value=x disabled><fieldset disabled><input name=b></fieldset>", ""),
        (
            "<input type=checkbox name=a><input type=checkbox name=a checked><input type=checkbox name=b value=2 checked>",
            "a=on&b=2",
        ),
        ("<input type=radio name=a value=1><input type=radio name=a value=2 checked>", "a=2"),
        (
            "<select name=a multiple><option selected>x<option selected disabled>y<option value=3 selected>z</select>",
            "a=x&a=3",
        ),
        ("<textarea name=a>\n\nx\ny</textarea>", "a=%0D%0Ax%0D%0Ay"),
        (
            "<input type=hidden name=_charset_ value=x><input type=hidden name=b value=y>",
            "_charset_=UTF-8&b=y",
        ),
        ("<input name=é value='~*-._&amp;='>", "%C3%A9=%7E*-._%26%3D"),
        ("<button name=a value=1></button><input type=reset name=b><input type=button name=c>", ""),
        ("<datalist><input name=a value=x></datalist>", "a=x"),
        ("<input type=date name=a value=2024-02-31><input type=number name=b value=four>", "a=&b="),
        ("<input type=file name=a value=x>", "a="),
    ],
)
def test_a_form_sends_its_successful_controls(inside, body):
    assert sent(f"<form method=post action=/go>{inside}</form>") == Request("POST", "/go", body)


def test_a_button_sends_itself_and_what_it_overrides():
    html = """<form action=/go method=post><button name=a value=1>x</button><input type=submit name=b>
    <button formaction=/other formmethod=get name=c value=3>y</button><button formaction>z</button></form>"""
    assert sent(html, 1) == Request("POST", "/go", "a=1")
    assert sent(html, 2) == Request("POST", "/go", "b=Submit")
    assert sent(html, 3) == Request("GET", "/other?c=3")
    assert sent(html, 4) == Request("POST", "/here?x=1#y", "")


def test_a_form_sent_by_get_replaces_the_query():
    assert sent("<form><input name=q value=a></form>") == Request("GET", "/here?q=a#y")
    assert sent("<form action='/go?old=1#z'></form>") == Request("GET", "/go?#z")


def test_controls_elsewhere_that_name_the_form_are_sent_in_document_order():
    html = "<input form=f name=a value=1><form id=f method=post><input name=b value=2></form><input form=f name=c value=3>"
    assert sent(html).body == "a=1&b=2&c=3"


def test_the_default_button_is_the_first_enabled_one():
    page = parse(
        "<form><button type=button></button><button disabled></button><button id=x></button><button></button></form>"
    )
    assert default_button(page, 0) == page.controls[2]
    assert default_button(parse("<form><input></form>"), 0) is None


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<form action=//out.example>", "not on the site"),
        ("<form method=post enctype=multipart/form-data>", "multipart"),
        ("<form method=dialog>", "dialog"),
    ],
)
def test_a_form_that_cannot_be_sent_says_so(html, words):
    with pytest.raises(BrowserError, match=words):
        sent(f"{html}</form>")
