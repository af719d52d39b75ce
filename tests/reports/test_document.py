"""A report as data: what is written is read back, any text in it included, and what is no report is refused."""

import pytest
from helpers.documents import case_study, whole
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import StoreError
from eefcore.reports.document import blocks as document
from eefcore.reports.document import markdown

ANY = st.text(st.characters(), max_size=30)  # half a surrogate pair included


def test_every_kind_of_block_is_written_and_read(tmp_path):
    path = tmp_path / "report.json"
    document.write_document(path, whole())
    assert document.read_document(path) == whole()
    assert {type(b) for b in whole().sections[0].blocks} == set(document.Block.__args__)


@given(ANY)
def test_any_text_is_read_back(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("d") / "report.json"
    document.write_document(path, whole(text))
    assert document.read_document(path) == whole(text)


@pytest.mark.parametrize("content", ["", "{}", '{"title": 3}', "[]", '{"title": "t", "sections": ['])
def test_what_is_no_report_is_refused(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(
        StoreError, match=r"expected a report written by eefcore.*write it again with `eef report`"
    ):
        document.read_document(path)


def test_tables_and_case_studies_are_found_in_order():
    assert [t.name for t in document.tables(whole())] == ["methods"]
    assert document.case_studies(whole()) == [case_study("words")]


# As Markdown ---------------------------------------------------------------------------------------------


def test_markdown_says_every_block(tmp_path):
    text = markdown.write_markdown(tmp_path / "r.md", whole(), pictures="pics").read_text()
    for expected in (
        "# words\n",
        "## Results\n",
        "- words\n- b",
        "| Method |\n| --- |\n| words |",
        "<sub>words</sub>",
        "![words](pics/fig.png)",
        "«words»b",
        "- words: words",
        "```text\nwords\n```",
    ):
        assert expected in text, expected


def test_a_case_study_shows_both_together_until_they_part():
    assert markdown.case_study_text(case_study()).splitlines() == [
        "both  0 > search a sofa",
        "      a sofa",
        "---- here they part ----",
        "EEF  1 > click Next",
        "      a sofa",
        "EEF  2 > Think",
        "---- EEF: win · reward 1.00 ----",
        "RFT  2 > Think",
        "---- RFT: turn limit · reward 0.00 ----",
        "expert  0 > search a sofa",
        "      a sofa",
        "---- the expert tried it too: gpt-4: loss · reward 0.50 ----",
    ]


@given(st.text("`a\n", max_size=40))
def test_no_text_breaks_out_of_its_fence(text):
    first, *_, last = markdown.fenced(text).split("\n")
    assert first == f"{last}text" and last not in text
