"""Render the content of a page as one HTML file that loads nothing and runs only its own script.

The content policy names that script by its hash, so that no other may run, and the content is compressed in base64: a
`</script>` or an `onerror` in an observation stays text.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup

from eefcore.storage.disk import write_atomically
from eefcore.viewer.content import Content


def write_page(path: Path, content: Content) -> Path:
    """Write the page to `path`, whole or not at all, and return `path`."""
    write_atomically(path, render(content).encode("utf-8", "xmlcharrefreplace"))
    return path


def render(content: Content) -> str:
    """Return the page as HTML."""
    script, style = (_text(name) for name in ("viewer.js", "viewer.css"))
    return _template().render(
        title=content.title,
        blocks=content.blocks(),
        script=Markup(script),  # the package's own
        style=Markup(style),
        script_hash=_hash(script),
        style_hash=_hash(style),
    )


@cache
def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("eefcore.viewer")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template("viewer.html.jinja")


@cache
def _text(name: str) -> str:
    return (files("eefcore.viewer") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the hash of a script or a style as a content policy names it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
