r"""Addresses of one site: what a browser makes of a written address, and whether it is still the site's.

Addresses are resolved as browsers do (WHATWG URL, by ada-url), so that `/\\host`, a tab inside `java\tscript:` or `//host` means
here what it means in Chromium. Only the scheme, host and port of the site itself are let through.
"""

from __future__ import annotations

from eefcore.errors import BrowserError

HOST = "127.0.0.1"
ORIGIN = f"http://{HOST}"
"""Where a site seems to be when it is played in process, and the only host that a browser reaches."""


def resolved(written: str, base: str = "/") -> str | None:
    """Return the path, query and fragment of an address on the page at `base`; None if it leads off the site or is none."""
    from ada_url import URL

    try:
        url = URL(written, base=ORIGIN + base)
    except ValueError:
        return None
    if url.origin != ORIGIN or url.username or url.password:
        return None
    return url.href.removeprefix(ORIGIN)


def to_open(written: str, base: str = "/") -> str:
    """Return the address on the site that a browser is to open, without a fragment; raise BrowserError if there is none."""
    if (address := resolved(written, base)) is None:
        raise BrowserError(f"{written!r} is no address of the site; expected a path, as /")
    return without_fragment(address)


def without_fragment(address: str) -> str:
    """Return an address without the part that a browser does not send."""
    return address.partition("#")[0]


def within_page(href: str, address: str) -> bool:
    """Return whether a link leads to a place in the page at `address`, so that a browser loads nothing."""
    target = resolved(href, address)
    return target is not None and "#" in target and without_fragment(target) == without_fragment(address)


def with_query(address: str, query: str) -> str:
    """Return an address with `query` in place of its own, as a form that is sent by GET has it; the fragment stays."""
    rest, mark, fragment = address.partition("#")
    return f"{rest.partition('?')[0]}?{query}{mark}{fragment}"
