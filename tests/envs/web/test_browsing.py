from __future__ import annotations

import pytest
from helpers.small_site import State, make_app

from eefcore.envs.web.actions import Reason
from eefcore.envs.web.browsing import Browsing, refusals
from eefcore.envs.web.in_process import InProcess
from eefcore.types import History


@pytest.fixture
def site() -> Browsing:
    browsing = Browsing(InProcess(make_app(State())))
    browsing.open("/")
    browsing.act("CLICK [20]")
    return browsing


def test_a_dialog_is_all_that_is_seen_until_it_is_answered():
    browsing = Browsing(InProcess(make_app(State())))
    assert "[1]" not in browsing.open("/")
    refused = browsing.act("CLICK [1]")
    assert refused.refused is Reason.HIDDEN and "REPLY [1] is hidden" in refused.observation
    answered = browsing.act("CLICK [20]")
    assert (
        answered.refused is None
        and "[1] link Home" in answered.observation
        and "Cookies" not in answered.observation
    )


def test_a_refusal_changes_nothing_but_the_reply(site):
    before, moment = site.observation, site.snapshot()
    refused = site.act("CLICK [99]")
    assert refused.observation != before and "REPLY There is no [99]" in refused.observation
    assert site.snapshot().visit == moment.visit
    assert site.restore(moment) == before


def test_a_scroll_shows_the_next_window_and_no_more(site):
    site.act("GOTO [/search?q=item]")
    first = site.observation
    second = site.act("SCROLL [DOWN]").observation
    assert first != second and "lines 21-" in second
    assert site.act("CLICK [1]").refused is Reason.OTHER_WINDOW
    ended = site.act("SCROLL [DOWN]")
    assert ended.refused is Reason.NO_SCROLL and "the last of 2 windows" in ended.observation
    assert site.act("SCROLL [UP]").observation == first


def test_the_window_stays_while_the_page_does(site):
    site.act("GOTO [/form]")
    site.act("SCROLL [DOWN]")
    moment = site.snapshot()
    assert moment.window == 1
    filled = site.act("TYPE [24] [x]")
    assert filled.refused is None and site.snapshot().window == 1
    site.act("CLICK [20]")
    assert site.snapshot().window == 0
    assert "[24]" in site.restore(moment)


def test_a_question_waits_for_the_user(site):
    asked = site.act("ASK USER HELP [Indoor or outdoor?]")
    assert asked.question == "Indoor or outdoor?" and asked.refused is None
    answered = site.say("Outdoor\nplease")
    assert "\nUSER Outdoor please\n" in answered
    assert "USER" not in site.act("TYPE [4] [x]").observation


def test_a_thought_changes_nothing(site):
    before = site.observation
    assert site.act("Think[The form comes next.]").observation == before


def test_refused_actions_are_counted_in_a_history(site):
    history = History("task", site.observation)
    for action in ("CLICK [99]", "TYPE [4] [REPLY]", "GOTO [/nowhere]", "jump", "Think[\nREPLY x]"):
        history = history.then(action, site.act(action).observation)
    assert refusals(history) == [0, 3]
