"""The page shows the whole report, asks for nothing outside itself, and survives any text."""

import re
from html import escape
from html.parser import HTMLParser

import pytest
from helpers.documents import whole
from helpers.episodes import CARD, NEXT, SKILLS, by_next, episode, naive
from helpers.generated_forms import OneDocument
from helpers.stage_folders import Folders

from eefcore.envs.web import chromium
from eefcore.reports.document.blocks import Facts, Picture
from eefcore.reports.document.html import write_html
from eefcore.reports.evidence import read_run, spans
from eefcore.reports.report import BenchmarkFacts, build_report
from eefcore.training.rows import IGNORE

EVIL = 'a sofa </pre><script>alert("x")</script> & \ud800 \x00 «€» $5'
VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """Text and tags of a page; refuses one whose tags do not close."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.open = "", [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def html_of(report, tmp_path):
    return write_html(tmp_path / "report.html", report.document).read_text(encoding="utf-8")


def panel(wins, make=naive):
    return [make(f"t{i:02}", 1.0 if i in wins else 0.5) for i in range(60)]


def run_of(root):
    """The folders of a run with three methods; the expert tries Next on t25, and loses."""
    tried = {25: by_next}
    experts = [tried.get(i, naive)(f"t{i:02}", 0.5, source="gpt-4") for i in range(60)]
    folders = Folders(root)
    folders.method("SFT POS", panel=panel(range(10)), experts=experts)
    folders.method("RFT×6", panel=panel(range(20)), experts=experts, iterations=2)
    folders.method("EEF", panel=panel(range(5, 40), by_next), experts=experts, iterations=2)
    return folders.stages


def report_of(stages, title="A run", command="make run"):
    methods = read_run(stages, "mini", CARD)
    return build_report(title, methods, BenchmarkFacts(SKILLS), command=command, format="compact")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return report_of(run_of(tmp_path_factory.mktemp("run")))


def test_the_report_says_in_a_line_what_each_method_and_skill_is_and_where_its_model_is(full):
    facts = {b.title: b.facts for s in full.document.sections for b in s.blocks if isinstance(b, Facts)}
    assert facts["What each method is"]["SFT POS"] == "Clones demonstrations."
    assert facts["What each skill is"]["Next"] == 'Actions that match ^click\\["button": "Next'
    places = facts["Where the models are: the best on the dev set, below results/"]
    assert {name: place[-6:] for name, place in places.items()} == dict.fromkeys(
        ("SFT POS", "RFT×6", "EEF"), "/model"
    )
    assert places["SFT POS"].startswith("iteration 1: ")


def test_headers_of_tables_have_a_scope_and_tables_their_titles(full, tmp_path):
    shown = Page(html_of(full, tmp_path))
    assert {attrs.get("scope") for tag, attrs in shown.tags if tag == "th"} == {"col", "colgroup", "row"}
    ids = {attrs.get("id") for _, attrs in shown.tags}
    labels = [
        attrs["aria-labelledby"] for tag, attrs in shown.tags if tag == "table" and "aria-labelledby" in attrs
    ]
    assert labels
    assert {*labels} <= ids


def test_each_figure_is_named_by_its_caption(full, tmp_path):
    shown = Page(html_of(full, tmp_path))
    captions = [b.caption for s in full.document.sections for b in s.blocks if isinstance(b, Picture)]
    assert captions
    assert [attrs["aria-label"] for tag, attrs in shown.tags if tag == "svg"] == captions


def test_the_html_page_is_valid_and_loads_nothing_from_elsewhere(full, tmp_path):
    html = html_of(full, tmp_path)
    shown = Page(html)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html"]
    names = {tag for tag, _ in shown.tags}
    assert {"svg", "table", "mark", "figure"} <= names
    assert not {"script", "link", "iframe", "img", "object"} & names
    for _, attributes in shown.tags:
        for name in ("src", "href", "xlink:href", "srcset"):
            assert attributes.get(name, "#").startswith("#")
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    ids = [a["id"] for _, a in shown.tags if "id" in a]
    assert len(set(ids)) == len(ids)
    assert {a["href"][1:] for tag, a in shown.tags if tag == "a"} <= set(ids)


def test_a_run_has_its_tables_figures_case_studies_training_row_and_costs(full):
    assert [s.id for s in full.document.sections] == [
        "results", "made_of", "navigation", "curve", "cases", "why", "dialogue", "outcomes", "card", "words", "again",
    ]  # fmt: skip
    assert {"win_rates", "navigation", "curve", "origins"} <= set(full.plots)
    assert full.document.headline.startswith(
        "EEF wins 58.3 % of 60 tasks, 25.0 points more than RFT×6, the best"
    )
    assert full.document.details[0] == (
        "Significant differences. RFT×6 beats the expert gpt-4 by 33.3 points; "
        "RFT×6 beats SFT POS by 16.7 points; EEF beats RFT×6 by 25.0 points."
    )
    assert full.document.details[-1] == "Cost: 100 simulations and 2 k trained tokens, against 100 and 2 k."


def test_the_page_shows_every_cell_of_every_table(full, tmp_path):
    text = " ".join(Page(html_of(full, tmp_path)).text.split())
    cells = [cell for table in full.tables for row in table.rows for cell in row]
    assert len(cells) > 50
    for cell in cells:
        for words in (cell.text, *cell.small):
            assert " ".join(words.split()) in text, words
    for words in (CARD.key, "make run", "One seed: the intervals cover other tasks"):
        assert words in text


def test_the_marked_training_row(tmp_path):
    row = spans([1, 2, 3], [IGNORE, 2, IGNORE], lambda ids: "".join("_abc"[i] for i in ids))
    assert row == [("a", False, 1), ("b", True, 1), ("c", False, 1)]
    html = write_html(tmp_path / "r.html", whole()).read_text(encoding="utf-8")
    assert "<pre><mark>words</mark>b</pre>" in html


def test_a_case_study_is_aligned_where_they_part(full, tmp_path):
    html = html_of(full, tmp_path)
    study = html[html.index('<article class="case">') : html.index("</article>")]
    before, after = study.split("here they part")
    assert "the other loses without Next; the expert tried it and lost." in before
    assert before.count('data-side="both"') == 2  # a thought and a search, alike
    assert "differs" not in before
    assert re.search(r'Next &gt;&#34;\]</span> <span class="chip">Next</span>', after)
    assert "(gpt-4) tried it too: loss, reward 0.50" in " ".join(after.split())


def test_why_there_is_no_case_study(tmp_path):
    def cases(**wins):
        folders = Folders(tmp_path / "-".join(wins))
        for name, won in wins.items():
            folders.method(name, panel=panel(won), experts=panel(()))
        (section,) = [s for s in report_of(folders.stages).document.sections if s.id == "cases"]
        return section.blocks[0].text

    assert cases(EEF=range(3)) == "There is no other method to compare EEF with."
    assert cases(RFT=range(9), EEF=range(3)) == "EEF won no task that RFT lost."


def test_any_text_of_a_document_is_only_text(tmp_path):
    shown = Page(write_html(tmp_path / "r.html", whole(EVIL)).read_text(encoding="utf-8"))
    assert not {"script", "b>", "i"} & {tag for tag, _ in shown.tags}
    assert shown.text.count('<script>alert("x")</script>') > 20


def test_any_text_of_an_environment_or_a_method_is_only_text(tmp_path):
    moves = [(f"{action} {EVIL}", f"{EVIL} {answer}") for action, answer in NEXT]
    ours = [episode(f"t{i}", moves, 1.0, instruction=EVIL) for i in range(4)]
    theirs = [naive(f"t{i}", 0.5, instruction=EVIL) for i in range(4)]
    folders = Folders(tmp_path)
    folders.method("RFT <script>", panel=theirs, experts=theirs)
    folders.method("EEF <b>", panel=ours, experts=theirs)
    shown = Page(html_of(report_of(folders.stages, EVIL, EVIL), tmp_path))
    assert not {"script", "b>", "i"} & {tag for tag, _ in shown.tags}
    assert shown.text.count('<script>alert("x")</script>') >= 20


def test_a_page_is_written_again_to_the_byte(full, tmp_path):
    one, other = (write_html(tmp_path / name, full.document).read_bytes() for name in ("a.html", "b.html"))
    assert one == other


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_the_page_fits_a_wide_and_a_narrow_window(full, tmp_path):
    """What is wider than the window scrolls in a box of its own."""
    report, widths = escape(html_of(full, tmp_path)), (1200, 420)
    frames = "".join(f'<iframe width={width} height=900 srcdoc="{report}"></iframe>' for width in widths)
    app = OneDocument()
    app.html = f"<!doctype html><link rel=icon href='data:,'>{frames}"
    with chromium.open_tab(app, scripted=True) as tab:
        tab.open("/?document")
        pages = tab.evaluate(
            "() => [...document.querySelectorAll('iframe')].map(frame => frame.contentDocument.documentElement)"
            ".map(page => [page.clientWidth, page.scrollWidth, page.querySelectorAll('table').length])"
        )
    chromium.close_browsers()
    assert [width for width, _, _ in pages] == pytest.approx(widths, abs=20)  # a scroll bar may take some
    assert all(needed <= width and tables for width, needed, tables in pages), pages
