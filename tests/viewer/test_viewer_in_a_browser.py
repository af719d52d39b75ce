"""The page of a run in Chromium: it filters, searches, compares and links, runs nothing of what it shows, and draws what is seen."""

from __future__ import annotations

import time

import pytest
from helpers.episodes import SKILLS, by_back, by_next, episode, naive, search, think
from helpers.generated_forms import OneDocument
from helpers.search_toys import HAT, grown, roots

from eefcore.envs.web import chromium
from eefcore.types import History, Step, Trajectory
from eefcore.viewer.content import Content, Mark, Part, Use
from eefcore.viewer.page import render

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

EVIL = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 1'><svg onload='window.owned = 1'>"


@pytest.fixture(scope="module")
def content():
    content = Content("mine")
    sampled = History(EVIL, EVIL, (Step(EVIL, EVIL, (1, 2), (-0.5, -0.25)),))
    content.add(
        Part("expert-1", "expert", "", ("EEF", "SFT")),
        [by_next("a", source="gpt"), naive("b")],
        skills=SKILLS,
    )
    content.add(
        Part("test-2", "evaluate.test", "", ("EEF",)),
        [naive("a"), by_back("c"), Trajectory(history=sampled, reward=0.0, source=EVIL)],
        skills=SKILLS,
        marks=[[Mark("select.2 (EEF)", Use.TRAINED, (3, 4))]],
    )
    content.add_trees(Part("search.1", "search.1"), grown(roots([HAT]), 25))
    content.note(EVIL)
    return content


@pytest.fixture(scope="module")
def tab(content):
    """A tab on a page that every test follows to its own link."""
    app = OneDocument()
    app.html = render(content).replace("<head>", "<head><link rel=icon href='data:,'>", 1)
    with chromium.open_tab(app, scripted=True) as tab:
        tab.open("/?document")
        yield tab
        assert app.requests == []  # it asked for nothing
    chromium.close_browsers()


def follow(tab, link, until):
    """Follow a link of the page, wait until the script `until` returns something, and return that."""
    tab.evaluate("link => { location.hash = link; }", link)
    return wait(tab, until)


def wait(tab, script):
    for _ in range(200):
        if found := tab.evaluate(script):
            return found
        time.sleep(0.05)
    raise AssertionError(
        f"never true: {script}; the page shows {tab.evaluate('() => document.body.innerText')[:2000]}"
    )


def summary(words):
    return f"() => document.getElementById('summary').textContent.startsWith({words!r}) && document.getElementById('summary').textContent"


ROWS = "() => [...document.querySelectorAll('.row')].map(row => row.title)"


def test_a_link_filters_by_method_outcome_skill_and_words(tab):
    assert "40.0 % won" in follow(tab, "", summary("5 of 5 episodes"))
    follow(tab, "method=SFT", summary("2 of 5"))
    follow(tab, "outcome=win&skill=Back", summary("1 of 5"))
    assert tab.evaluate(ROWS) == ["test-2/1"]
    follow(tab, "q=MEMORY+FOAM.&skill=Next", summary("1 of 5"))  # in a thought of one of them
    follow(tab, "q=window.owned", summary("1 of 5"))
    follow(tab, "q=in+no+text", summary("0 of 5"))


def test_a_choice_in_a_filter_lists_what_passes_and_is_in_the_address(tab):
    follow(tab, "", summary("5 of 5"))
    choose = "() => { const f = document.getElementById('f-skill'); f.value = 'Back'; f.dispatchEvent(new Event('change')); return 1 }"
    tab.evaluate(choose)
    wait(tab, summary("1 of 5"))
    assert tab.evaluate("() => location.hash") == "#skill=Back"
    tab.evaluate("() => document.querySelector('.row').click()")
    assert wait(tab, "() => document.querySelector('h2')?.textContent").startswith("i am looking for")
    assert tab.evaluate("() => location.hash") == "#skill=Back&episode=test-2%2F1"


def test_a_link_opens_an_episode_with_its_trained_actions_and_skills(tab):
    follow(tab, "episode=test-2/0", "() => document.querySelectorAll('#shown .move').length === 5")
    trained = "() => [...document.querySelectorAll('.move.trained .t')].map(t => t.textContent)"
    assert tab.evaluate(trained) == ["3", "4"]
    assert "trained in select.2 (EEF): actions 3–4" in tab.evaluate(
        "() => document.querySelector('.about').innerText"
    )
    follow(tab, "episode=expert-1/0", "() => document.querySelectorAll('#shown .move').length === 8")
    assert tab.evaluate("() => [...document.querySelectorAll('.chip')].map(c => c.textContent)") == ["Next"]


def test_two_episodes_of_a_task_are_aligned_up_to_where_they_part(tab):
    follow(tab, "episode=test-2/0&beside=expert-1/0", "() => document.querySelector('.part')")
    before = "() => [...document.querySelectorAll('#shown > *')].findIndex(e => e.className === 'part')"
    common = tab.evaluate("() => document.querySelectorAll('#shown > .move').length")
    assert common == 2  # a thought and a search
    assert tab.evaluate(before) > 0
    after = "() => [...document.querySelectorAll('.part ~ .pair .differs .act')].map(a => a.textContent)"
    assert tab.evaluate(after)[:2] == ['click["button": "B08737G8HG"]', 'click["button": "Next >"]']


def test_hostile_text_stays_text_and_tokens_say_their_likelihood(tab):
    follow(tab, "episode=test-2/2", "() => document.querySelector('#shown .tokens')")
    assert tab.evaluate("() => document.querySelector('.act').textContent") == EVIL
    assert tab.evaluate("() => document.querySelectorAll('img, svg, #shown script').length") == 0
    assert tab.evaluate("() => window.owned") is None
    assert "log π -0.5000, p 0.607" in tab.evaluate("() => document.querySelector('.tokens span').title")
    follow(
        tab,
        f"episode={EVIL}",
        "() => document.getElementById('shown').textContent.includes('has no episode')",
    )
    assert tab.evaluate("() => window.owned") is None


def test_a_tree_opens_along_its_most_visited_path_and_shows_pages(tab, content):
    shown = follow(tab, "tree=search.1/0", "() => document.querySelectorAll('.node').length")
    chosen = tab.evaluate("() => document.querySelectorAll('.node.chosen').length")
    assert 1 <= chosen <= shown
    tab.evaluate("() => document.querySelector('.node .act').click()")
    assert wait(tab, "() => document.querySelector('.page pre')?.textContent")


@pytest.mark.slow
def test_a_page_of_ten_thousand_episodes_draws_only_the_rows_that_are_seen():
    many = [
        episode(
            f"t{k // 10}",
            [(think(f"try {k}"), "OK"), (search(f"sofa {k}"), f"page {k % 700}")],
            (k % 2) * 1.0,
        )
        for k in range(10_000)
    ]
    content = Content("many")
    content.add(Part("test-1", "evaluate.test"), many, skills={})
    app = OneDocument()
    app.html = render(content).replace("<head>", "<head><link rel=icon href='data:,'>", 1)
    with chromium.open_tab(app, scripted=True) as tab:
        tab.open("/?document")
        follow(tab, "", summary("10,000 of 10,000"))
        assert tab.evaluate("() => document.querySelectorAll('.row').length") < 60
        follow(tab, "q=sofa+9999&outcome=win", summary("1 of 10,000"))
        assert tab.evaluate(ROWS) == ["test-1/9999"]
    chromium.close_browsers()
