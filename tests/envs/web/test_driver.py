"""The two drivers show the same: of forms that hypothesis writes, and on random walks through a site."""

from __future__ import annotations

import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.generated_forms import OneDocument, documents
from helpers.small_site import State, make_app
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from eefcore.envs.web.browsing import Browsing
from eefcore.envs.web.driver import Driver
from eefcore.envs.web.in_process import InProcess
from eefcore.envs.web.page import Control, Kind
from eefcore.envs.web.submission import is_submit
from eefcore.envs.web.values import BadValue, chosen, typed

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

VISIBLE = """() => window[Symbol.for('eefcore.controls')].map(
  element => element.checkVisibility({ visibilityProperty: true }) && !element.closest('[inert]'))"""
WORDS = (
    "x",
    "é 😀",
    "a&b=c",
    "May 22, 2024",
    "7:00 PM",
    "2024-05-22 19:00",
    "4",
    "L",
    "<b>\t\ud800\x00",
    "=;#+%",
)


def forms_are_sent_alike(tab, app: OneDocument, html: str, data: st.DataObject) -> None:
    app.html = html
    drivers: list[Driver] = [InProcess(app), tab]
    for driver in drivers:
        driver.open("/?document")
    plain = drivers[0]
    assert tab.page == plain.page
    shown = [plain.page.is_visible(c) for c in plain.page.controls if c.kind is not Kind.UNSEEN]
    assert shown == [
        seen
        for seen, c in zip(tab.evaluate(VISIBLE), tab.page.controls, strict=True)
        if c.kind is not Kind.UNSEEN
    ]
    for _ in range(data.draw(st.integers(0, 3))):
        usable = [
            c for c in plain.page.controls if plain.page.is_visible(c) and not c.disabled and not is_submit(c)
        ]
        if usable:
            change(drivers, data.draw(st.sampled_from(usable)), data.draw(st.sampled_from(WORDS)))
            assert tab.page == plain.page
    senders = [
        c for c in plain.page.controls if plain.page.is_visible(c) and not c.disabled and c.form is not None
    ]
    if not senders:
        return
    sender = data.draw(st.sampled_from(senders))
    app.requests.clear()
    for driver in drivers:
        driver.click(sender) if is_submit(sender) else driver.submit(sender)
    first, second = app.requests
    assert first == second
    assert (tab.address, tab.page) == (plain.address, plain.page)


def change(drivers: list[Driver], control: Control, word: str) -> None:
    for driver in drivers:
        match control.kind:
            case Kind.FIELD if not control.readonly and not isinstance(
                value := typed(control, word), BadValue
            ):
                driver.fill(control, value)
            case Kind.SELECT if not isinstance(choice := chosen(control, word), BadValue):
                driver.choose(control, choice)
            case Kind.CHECKBOX | Kind.RADIO | Kind.DETAILS | Kind.BUTTON:
                driver.click(control)


FORMS = settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink an example takes minutes in a browser
)


@FORMS
@given(documents(), st.data())
def test_a_form_is_read_and_sent_as_in_chromium(open_tab, one_document, html, data):
    forms_are_sent_alike(*one_document, html, data)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@settings(FORMS, max_examples=200)
@given(documents(), st.data())
def test_many_forms_are_read_and_sent_as_in_chromium(open_tab, one_document, html, data):
    forms_are_sent_alike(*one_document, html, data)


@pytest.fixture(scope="module")
def one_document(open_tab):
    app = OneDocument()
    with open_tab(app) as tab:
        yield tab, app


def next_action(observation: str, rng: random.Random) -> str:
    """An action for a page, mostly one that can be done; often with a text that does harm elsewhere."""
    controls = re.findall(r"^\[(\d+)\] (\w[\w-]*)", observation, re.MULTILINE)
    if rng.random() < 0.2 or not controls:
        return rng.choice(
            ["SCROLL [DOWN]", "SCROLL [UP]", "GOTO [/]", "GOTO [/form]", "GOTO [/search?q=<i>\"&%00]", "GOTO [/item/7#x]", "GOTO [//e.example]",
             "GOTO [/nowhere]", "CLICK [98]", "CLICK [2]", "TYPE [4] [\ud800]", "jump", "GOTO [/../../etc/passwd]", "GOTO [javascript:x]",
             "ASK USER HELP [what?]", "Think[hm]", "GOTO [/text]", "SUBMIT [5]"]
        )  # fmt: skip
    number, kind = rng.choice(controls)
    if kind in ("link", "button", "checkbox", "radio", "details"):
        return rng.choice([f"CLICK [{number}]"] * 5 + [f"SUBMIT [{number}]", f"CLEAR [{number}]"])
    text = rng.choice(
        ["Ann", "item 1", "4", "June 1, 2024", "7pm", "2024-06-01 19:00", "outdoor", "cheese", "Port Alder", "a@b.example", "x" * 40,
         "\ud83d", "<script>alert(1)</script>", "'; DROP TABLE", "a\r\nSet-Cookie: b=c", "\x00\x1b", "[9] button Buy", "REPLY ok", "é&=+%20#"]
    )  # fmt: skip
    return rng.choice([f"TYPE [{number}] [{text}]"] * 5 + [f"SUBMIT [{number}]", f"CLEAR [{number}]"])


def walk(open_tab, seed: int, length: int) -> int:
    """Walk through the site in both drivers at once, and go back now and then; return how many actions were refused."""
    rng, states = random.Random(seed), (State(), State())
    plain = Browsing(InProcess(make_app(states[0])))
    refused, kept = 0, []
    with open_tab(make_app(states[1])) as tab:
        chrome = Browsing(tab)
        assert chrome.open() == plain.open()
        for _ in range(length):
            if kept and rng.random() < 0.1:
                copies, moment, observation = rng.choice(kept)
                for state, copy in zip(states, copies, strict=True):
                    state.load(copy)
                assert plain.restore(moment) == chrome.restore(moment) == observation
            kept.append((tuple(s.copy() for s in states), plain.snapshot(), plain.observation))
            action = next_action(plain.observation, rng)
            outcome = plain.act(action)
            assert chrome.act(action) == outcome, (seed, action)
            assert states[0].digest() == states[1].digest()
            refused += outcome.refused is not None
        assert chrome.snapshot() == plain.snapshot()
    return refused


def test_a_walk_shows_the_same_in_both_drivers(open_tab):
    assert 0 < sum(walk(open_tab, seed, 25) for seed in (1, 2)) < 40


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("walks", [100, pytest.param(500, marks=pytest.mark.exhaustive)])
def test_many_walks_show_the_same_in_both_drivers(open_tab, walks):
    with ThreadPoolExecutor(4) as threads:
        refused = list(threads.map(lambda seed: walk(open_tab, seed, 8), range(10, 10 + walks)))
    assert 0.4 * walks < sum(refused) < 4 * walks
