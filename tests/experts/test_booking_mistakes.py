"""Concierges of less strength: each mistake is made only where there is an occasion, is marked, and is what loses the task."""

import pytest
from helpers.booking_tasks import SITE

from eefcore.errors import ParamsError
from eefcore.experts.booking.experts import EXPERTS, make_concierge
from eefcore.experts.booking.mistakes import STRENGTHS, MistakeRates
from eefcore.experts.demonstrate import demonstrate_tasks
from eefcore.types import StopReason

pytest.importorskip("starlette")
pytest.importorskip("selectolax")
pytest.importorskip("ada_url")

OCCASIONS = {
    "overlook_city": {"other city"},
    "wrong_restaurant": {"described"},
    "farther_time": {"sold out"},
    "give_up": {"sold out"},
    "assume_seating": {"ask seating"},
    "invent_phone": {"ask phone"},
    "leave_dialog": {"cookie banner", "offer"},
}
"""The mistakes that belong to a factor of the task; the others can be made in tasks of several kinds."""


def demonstrate(name, tasks, seed=0):
    return list(demonstrate_tasks(SITE, make_concierge(SITE, name, seed=seed), tasks))


def tasks_for(mistake, n=8):
    """Some training tasks with an occasion for a mistake."""
    if mistake == "wrong_reservation":
        return [id for id in SITE.tasks("train") if len(SITE.goal(id).setting.reservations) > 1]
    factors = OCCASIONS.get(mistake, set())
    fitting = [id for id in SITE.tasks("train") if not factors or factors & {*SITE.goal(id).factors}]
    return fitting[:n]


@pytest.mark.parametrize("mistake", [m for m in MistakeRates._fields if m != "leave_dialog"])
def test_a_task_is_lost_only_by_a_mistake_that_is_marked(mistake):
    played = demonstrate(f"perfect?{mistake}=1", tasks_for(mistake))
    for t in played:
        assert {m.kind for m in t.marks} <= {mistake}
        assert t.win or t.marks, (t.task_id, t.actions)
        assert t.stop is StopReason.DONE, (t.task_id, t.actions)
    assert any(t.marks and not t.win for t in played)


@pytest.mark.parametrize("mistake", OCCASIONS)
def test_no_occasion_no_mistake(mistake):
    others = [id for id in SITE.tasks("train") if not OCCASIONS[mistake] & {*SITE.goal(id).factors}][:5]
    assert all(t.win and not t.marks for t in demonstrate(f"perfect?{mistake}=1", others))


def test_scrolling_past_a_dialog_takes_turns_and_loses_nothing_else():
    tasks = tasks_for("leave_dialog", 5)
    patient, hasty = demonstrate("perfect", tasks), demonstrate("perfect?leave_dialog=0.7", tasks)
    assert all(t.win for t in hasty)
    wasted = [len(t.marks) for t in hasty]
    assert sum(wasted) and [len(h) - len(p) for h, p in zip(hasty, patient, strict=True)] == wasted


def test_what_is_noticed_is_mended():
    """Who always reads what it is about to reserve goes back, asks for the right day and wins."""
    expert = make_concierge(SITE, "perfect?wrong_day=1")
    expert.habits = expert.habits._replace(notices=1.0)
    tasks = [id for id in SITE.tasks("train") if SITE.goal(id).kind == "book"][:12]
    played = list(demonstrate_tasks(SITE, expert, tasks))
    back = [t for t in played if any("/details/" in s.observation for s in t.history.steps[:-6])]
    assert any(t.win and t.marks for t in back)
    assert sum(t.win for t in played) > sum(t.win for t in demonstrate("perfect?wrong_day=1", tasks))


def test_equal_seeds_make_equal_mistakes():
    tasks = SITE.tasks("train")[:6]
    assert demonstrate("weak", tasks) == demonstrate("weak", tasks)
    assert demonstrate("weak", tasks) != demonstrate("weak", tasks, seed=1)


def test_a_sweep_over_a_rate_compares_like_with_like():
    """With more of one mistake, every task that was lost by it is lost by it again."""
    tasks = SITE.tasks("train")[:15]
    few, many = (
        {t.task_id for t in demonstrate(f"strong?wrong_party={rate}", tasks) if "wrong_party" in kinds(t)}
        for rate in (0.3, 0.8)
    )
    assert few < many


def kinds(trajectory):
    return {mark.kind for mark in trajectory.marks}


@pytest.mark.slow
def test_strengths_are_in_order():
    """Fitted to the paper by notebooks/15_calibrate; here only that none is what another is."""
    tasks = SITE.tasks("train")[:40]
    wins = [sum(t.win for t in demonstrate(name, tasks)) for name in ("perfect", "strong", "weak")]
    assert wins[0] == len(tasks) and wins[0] > wins[1] > wins[2] > 0


def test_settings_and_rates_are_those_of_the_strength():
    assert EXPERTS.settings("strong?give_up=0.5")["give_up"] == 0.5
    assert EXPERTS.strengths == tuple(STRENGTHS)
    with pytest.raises(ParamsError, match="no rate 'give_in'; did you mean 'give_up'"):
        EXPERTS.check("strong?give_in=1")
