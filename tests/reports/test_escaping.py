"""Text that others wrote is shown in Markdown as it is, and never obeyed."""

from __future__ import annotations

import html

import pytest
from helpers.documents import whole
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from eefcore.reports.document import markdown
from eefcore.reports.document.cells import Column, Table, markdown_table, words
from eefcore.reports.document.escaping import escape, escape_line

GITHUB = MarkdownIt("commonmark").enable(["table", "strikethrough"])
texts = st.text(st.sampled_from("\\`*_{}[]()#+-.!|<>&;$~=\"':/ ab1\n\té"), max_size=20) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=20
)


def shown(source: str, element: str) -> str:
    """What a reader sees of `source`, which is one element and nothing else."""
    page = GITHUB.render(source).strip()
    assert page.startswith(f"<{element}>") and page.endswith(f"</{element}>"), page
    inside = page.removeprefix(f"<{element}>").removesuffix(f"</{element}>")
    assert "<" not in inside, page
    return html.unescape(inside)


def words_of(text: str) -> str:
    return " ".join(text.split())


@settings(deadline=None)
@given(texts.filter(str.strip))
def test_any_text_is_shown_as_it_is(text):
    assert words_of(shown(f"# {escape_line(text)} x", "h1")) == f"{words_of(text)} x"
    assert words_of(shown(escape_line(text), "p")) == words_of(text)
    lines = "\n".join(filter(str.strip, f"a\n{text}".splitlines()))
    assert words_of(shown(escape(lines), "p")) == words_of(lines)


@settings(deadline=None)
@given(texts.filter(str.strip))
def test_any_text_is_shown_in_a_table_as_it_is(text):
    table = Table("t", (Column("method", words=True),), ((words(text),),))
    page = GITHUB.render(markdown_table(table))
    cell = page.partition("<td")[2].partition(">")[2].partition("</td>")[0]
    assert "<" not in cell and words_of(html.unescape(cell)) == words_of(text)


@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=alert(1)>",
        "[me](http://x)",
        "![me](http://x)",
        "**EEF**",
        "$\\foo$",
        "`x`",
        "a | b",
        "~~old~~",
        "__a__",
    ],
)
def test_a_methods_name_is_obeyed_nowhere_in_a_report(name):
    source = markdown.render(whole(name), "figures")
    page = GITHUB.render(source)
    assert not any(
        mark in page for mark in ("<img src=x", 'href="http://x', "<s>", "<code>x", "<strong>EEF</strong> ")
    )
    assert "$\\foo$" not in source.partition("```")[0]


def test_words_of_reports_need_no_marks():
    for text in (
        "webshop_mini, 3 × 2,835",
        "+1.7 points (95 % −2.5 to +5.8), p = 0.004",
        "p < 0.05 [0, 1]",
        "EEF & RFT×6 #2",
    ):
        assert escape_line(text) == text
