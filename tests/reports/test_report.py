"""The report says what its numbers allow, asks for nothing outside itself, and survives any text."""

import re
from html.parser import HTMLParser

import pytest
from helpers.episodes import CARD, NEXT, SKILLS, by_next, episode, naive, spoilt

from eefcore.evaluation import stats
from eefcore.evaluation.metrics import Evaluation
from eefcore.evaluation.navigation import skill_from_pattern
from eefcore.evaluation.stats import Estimate
from eefcore.reports.document import html as page
from eefcore.reports.document.blocks import Segment
from eefcore.reports.report import document, from_results
from eefcore.reports.sections import segments
from eefcore.storage.cost import Cost
from eefcore.training.rows import IGNORE
from eefcore.types import Card

EVIL = 'a sofa </pre><script>alert("x")</script> & \ud800 \x00 «€» $5'
VOID = {"meta", "br", "link", "img"}


def evaluation(method, wins, *, card=CARD, seeds=1, n=60, make=naive):
    """Tasks t00 … of which those numbered in `wins` are won."""
    run = [make(f"t{i:02}", 1.0 if i in wins else 0.5) for i in range(n)]
    return Evaluation(method, card, (run,) * seeds)


def made(*evaluations, **rest):
    return from_results(
        "A run", evaluations, skills=SKILLS, command="make run", versions={"eefcore": "0"}, **rest
    )


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


def page_of(content, tmp_path):
    return Page(page.build(tmp_path / "report.html", document(content)).read_text(encoding="utf-8"))


def full(**rest):
    return made(
        evaluation("SFT POS", range(10)),
        evaluation("RFT×6", range(20)),
        evaluation("EEF", range(5, 40), make=by_next),
        costs={"EEF": Cost(episodes=7200, tokens_trained=1_900_000, money=4.2, seconds=288)},
        curves={"EEF": {0: Estimate(0.3, 0.2, 0.4, 60), 1: Estimate(0.5, 0.4, 0.6, 60)}},
        experts=[by_next("t25", 0.5, source="gpt-4")],
        dialogue=segments([1, 2, 3], [IGNORE, 2, IGNORE], lambda ids: "".join("_abc"[i] for i in ids)),
        **rest,
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (
            range(5, 40),
            range(20),
            r"^EEF wins 58.3 % of 60 tasks, 25.0 points more than RFT \(95 % .*p = 0.004, McN",
        ),
        (range(20), range(5, 40), r"^EEF wins 33.3 % of 60 tasks, 25.0 points fewer than RFT"),
        (
            range(21),
            range(20),
            r"^EEF wins 35.0 % of 60 tasks and RFT 33.3 %: this panel can't tell .*n ≥ \d",
        ),
        (
            range(20),
            range(20),
            r"RFT 33.3 %: this panel can't tell them apart \(p = 1.00, McNemar’s exact test\)\.$",
        ),
    ],
)
def test_the_headline_claims_what_p_allows(ours, theirs, expected):
    assert re.search(expected, made(evaluation("RFT", theirs), evaluation("EEF", ours)).headline)


def test_the_headline_of_several_seeds():
    content = made(evaluation("RFT", range(20), seeds=3), evaluation("EEF", range(40), seeds=3))
    assert "of 60 tasks in each of 3 seeds, 33.3 points more" in content.headline
    assert "paired bootstrap over seeds and tasks" in content.headline


def test_the_headline_of_one_method_alone():
    assert (
        made(evaluation("EEF", range(30))).headline
        == "EEF wins 50.0 % of 60 tasks (95 % interval 37.7 – 62.3)."
    )


def test_the_headline_when_nothing_could_be_judged():
    broken = Evaluation("EEF", CARD, ([spoilt("t00")],))
    assert "could be judged" in made(broken).headline
    assert made(Evaluation("RFT", CARD, ([naive("t00")],)), broken).headline.startswith("No episode of EEF")


def test_the_best_of_the_others_is_the_baseline():
    (table,) = full().tables
    assert table.baseline == "RFT×6"
    assert "the best of the others" in full().headline
    assert full(baseline="SFT POS").tables[0].baseline == "SFT POS"
    assert "the best of the others" not in full(baseline="SFT POS").headline


def test_p_is_corrected_for_the_comparisons_made():
    sft, rft, eef = full().tables[0].rows
    assert rft.against is None
    assert (sft.holm, eef.holm) == tuple(stats.holm([sft.against.wins.p, eef.against.wins.p]))
    # SFT loses 10 tasks that RFT wins and wins none; EEF wins 20 alone and loses 5.
    assert sft.against.wins.p == pytest.approx(stats.mcnemar(0, 10))
    assert eef.against.wins.p == pytest.approx(stats.mcnemar(20, 5))


def test_the_page_is_whole_and_asks_for_nothing(tmp_path):
    shown = page_of(full(), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html"]
    names = {tag for tag, _ in shown.tags}
    assert {"svg", "table", "mark", "figure"} <= names
    assert not {"script", "link", "iframe", "img", "object"} & names
    for _, attributes in shown.tags:
        for name in ("src", "href", "xlink:href", "srcset"):
            assert attributes.get(name, "#").startswith("#")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    ids = [a["id"] for _, a in shown.tags if "id" in a]
    assert len(set(ids)) == len(ids)
    assert {a["href"][1:] for tag, a in shown.tags if tag == "a"} <= set(ids)


def test_the_table_shows_every_number(tmp_path):
    text = " ".join(page_of(full(), tmp_path).text.split())
    for expected in (
        "EEFn = 60",
        "58.3 %",  # 35 of 60
        "+25.0",
        "p = 0.004",  # McNemar of 20 against 5
        "Holm = 0.004",
        "7.2 k",
        "1.9 M",
        "4 min 48 s",
        "expert $4.20",
        CARD.key,
        "make run",
        "One seed: the intervals cover other tasks",
    ):
        assert expected in text, expected


def test_a_gap_that_can_not_be_told_says_what_it_needs(tmp_path):
    content = made(evaluation("RFT", range(20)), evaluation("EEF", range(3, 26)))
    needed = content.tables[0].rows[1].needs
    assert needed > 60
    assert f"needs n ≥ {needed:,}" in page_of(content, tmp_path).text
    assert full().tables[0].rows[2].needs is None


def test_the_marked_dialogue(tmp_path):
    content = full()
    assert content.dialogue == (("a", False, 1), ("b", True, 1), ("c", False, 1))
    page.build(tmp_path / "r.html", document(content))
    assert "<pre>a<mark>b</mark>c</pre>" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "1 of 3" in page_of(content, tmp_path).text


def test_a_case_study_is_aligned_where_they_part(tmp_path):
    content = full()
    next_case = content.cases[0]
    assert next_case.task == "t25"  # the first that the expert tried as well
    html = page.build(tmp_path / "r.html", document(content)).read_text(encoding="utf-8")
    study = html[html.index('<article class="case">') : html.index("</article>")]
    before, after = study.split("here they part")
    assert before.count('data-side="both"') == 2  # a thought and a search, alike
    assert "differs" not in before
    assert re.search(r'Next &gt;&#34;\]</span> <span class="chip">Next</span>', after)
    assert "(gpt-4) tried it too: loss, reward 0.50" in " ".join(after.split())


def test_why_there_is_no_case():
    assert "no other method" in made(evaluation("EEF", range(3))).no_cases
    assert made(evaluation("RFT", range(9)), evaluation("EEF", range(3))).no_cases.startswith(
        "EEF won no task"
    )


def test_other_cards_stand_in_other_tables(tmp_path):
    other = Card(CARD.name, {**CARD.facts, "products": 1000})
    content = made(
        evaluation("EEF large", range(50), card=other),
        evaluation("RFT", range(20)),
        evaluation("EEF", range(40)),
    )
    assert [[r.method for r in t.rows] for t in content.tables] == [["EEF large"], ["RFT", "EEF"]]
    assert content.tables[0].rows[0].against is None
    assert "than RFT" in content.headline
    text = page_of(content, tmp_path).text
    assert "can't be compared" in text
    assert other.key in text


def test_any_text_is_only_text(tmp_path):
    moves = [(f"{action} {EVIL}", f"{EVIL} {answer}") for action, answer in NEXT]
    ours = [episode(f"t{i}", moves, 1.0, instruction=EVIL) for i in range(4)]
    theirs = [naive(f"t{i}", 0.5, instruction=EVIL) for i in range(4)]
    tame = EVIL.replace("\ud800", "")  # a card is hashed as UTF-8
    card = Card(f"shop {tame}", {f"fact {tame}": tame})
    content = from_results(
        EVIL,
        [Evaluation("RFT <script>", card, (theirs,)), Evaluation("EEF <b>", card, (ours,))],
        skills={"<i>": skill_from_pattern("Next")},
        command=EVIL,
        versions={EVIL: EVIL},
        dialogue=[Segment(EVIL, True, 3)],
    )
    shown = page_of(content, tmp_path)
    assert not {"script", "b>", "i"} & {tag for tag, _ in shown.tags}
    assert shown.text.count('<script>alert("x")</script>') > 20


def test_a_page_is_made_again_to_the_byte(tmp_path):
    one, other = (page.build(tmp_path / name, document(full())).read_bytes() for name in ("a.html", "b.html"))
    assert one == other


def test_what_can_not_be_reported_is_refused():
    with pytest.raises(ValueError, match="no method 'ETO' to report; there are RFT, EEF"):
        made(evaluation("RFT", ()), evaluation("EEF", ()), ours="ETO")
    with pytest.raises(ValueError, match="no evaluation"):
        made()
    with pytest.raises(ValueError, match="share a name"):
        made(evaluation("EEF", ()), evaluation("EEF", ()))
    with pytest.raises(ValueError, match="evaluate both on one panel"):
        made(evaluation("RFT", (), n=9), evaluation("EEF", (), n=8))
