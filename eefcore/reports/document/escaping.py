"""Escape plain text for Markdown, so that the name of a method or of a task is shown and never obeyed."""

from __future__ import annotations

import re

_MARKS = re.compile(
    r"[\\`*$]"  # a code span, emphasis, mathematics
    r"|(?<![^\W_])_|_(?![^\W_])"  # emphasis; not the underscore inside a word
    r"|<(?=[\w/!?])"  # a tag, a comment, an address
    r"|\](?=[(\[:])"  # a link or a picture
    r"|~(?=~)"
)
_ENTITY = re.compile(r"&(?=#?\w+;)")
_LINE = re.compile(  # a quote, a heading, an item, a rule
    r"^( *)(?=>|#{1,6}(?:\s|$)|[+-](?:\s|$|[-=])|=+\s*$)", re.MULTILINE
)
_NUMBERED = re.compile(r"^( *\d+)(?=[.)](?:\s|$))", re.MULTILINE)
_BLANKS = re.compile(r"^[ \t]+|[ \t]+$", re.MULTILINE)  # four begin a listing, two end a line


def escape(text: str) -> str:
    """Return `text` so that Markdown shows it as it is, but for blanks at the ends of a line."""
    marked = _ENTITY.sub("&amp;", _MARKS.sub(r"\\\g<0>", _BLANKS.sub("", text)))
    return _NUMBERED.sub(r"\1\\", _LINE.sub(r"\1\\", marked))


def escape_line(text: str) -> str:
    """Return `text` escaped in one line, for a heading, a caption, an item or a cell of a table."""
    return escape(" ".join(text.split()))
