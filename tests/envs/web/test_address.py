from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eefcore.envs.web.address import resolved, to_open, with_query, within_page
from eefcore.errors import BrowserError


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("/a/b?c=d#e", "/a/b?c=d#e"), ("x", "/r/x"), ("../x", "/x"), ("?q=1", "/r/page?q=1"), ("", "/r/page?p=2"),
        ("#f", "/r/page?p=2#f"), ("http://127.0.0.1/y", "/y"), ("/é ü", "/%C3%A9%20%C3%BC"), (" \t/x\n ", "/x"), ("/../../etc", "/etc"),
    ],
)  # fmt: skip
def test_an_address_is_resolved_as_in_a_browser(written, address):
    assert resolved(written, "/r/page?p=2") == address


@pytest.mark.parametrize(
    "written",
    [
        "//evil.example/", "/\\evil.example", "\\\\evil.example", "http://evil.example", "https://127.0.0.1/", "http://127.0.0.1:81/",
        "http://127.0.0.1@evil.example/", "http://user@127.0.0.1/", "javascript:alert(1)", "java\tscript:alert(1)", "data:text/html,x",
        "file:///etc/passwd", "mailto:a@b.example", "http://[", "ftp://127.0.0.1/", "\t//evil.example", "http://localhost/", "about:blank",
    ],
)  # fmt: skip
def test_an_address_off_the_site_is_none(written):
    assert resolved(written, "/r/page") is None
    with pytest.raises(BrowserError, match="no address of the site"):
        to_open(written)


@given(st.text())
def test_what_is_resolved_is_a_path_and_stays_as_it_is(written):
    address = resolved(written)
    assert address is None or (
        address.startswith("/") and not address.startswith("//") and resolved(address) == address
    )


def test_parts_of_an_address():
    assert with_query("/a?b#c", "d=e") == "/a?d=e#c"
    assert with_query("/a", "") == "/a?"
    assert to_open("/a?b#c") == "/a?b"
    assert [within_page(h, "/a?b") for h in ("#c", "/a?b#", "/a#c", "/a?b", "//x#c")] == [
        True,
        True,
        False,
        False,
        False,
    ]
