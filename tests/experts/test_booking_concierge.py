"""The concierge proves the tasks: it wins each of them through the page, and on a wrong errand it loses."""

from statistics import mean

import pytest
from helpers.booking_tasks import SITE, play, step, task_with, wrong_errand
from msgspec.structs import replace

from eefcore import envs
from eefcore.envs.booking.tables import availability
from eefcore.experts.booking.experts import EXPERTS
from eefcore.experts.booking.view import read_observation
from eefcore.types import History

pytest.importorskip("starlette")
pytest.importorskip("selectolax")
pytest.importorskip("ada_url")

BOOKING = task_with("other city", "sold out", "ask seating")
CHANGE = task_with("change", none_of=("cookie banner",))


def losing(history, tasks=SITE):
    """The last page of a visit that was not won, for a message."""
    return history.task_id, tasks.goal(history.task_id).factors, history.actions[-3:], history.observation


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_every_task_of_a_sample_is_won(split):
    played = EXPERTS.demonstrator(SITE, "perfect", seed=0).demonstrate(SITE.tasks(split)[:30])
    assert all(trajectory.win for trajectory in played), [losing(t.history) for t in played if not t.win]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["booking", "booking_mini"])
def test_every_task_of_a_whole_benchmark_is_won(name):
    """As many tasks as a run trains and tests on; solutions are nearly as long as the 13.9 steps of Agent Q's site."""
    benchmark = envs.load(name, sizes="1000/200/500", seed=0)
    for split in ("train", "dev", "test"):
        played = EXPERTS.demonstrator(benchmark, "perfect", seed=0).demonstrate(benchmark.tasks(split))
        lost = [losing(t.history, benchmark) for t in played if not t.win]
        assert not lost
        assert 12.5 < mean(map(len, played)) < 16.5
        assert max(map(len, played)) <= benchmark.max_turns * 2 // 3


def test_nothing_that_it_does_is_refused():
    for split in ("train", "test"):
        for id in SITE.tasks(split)[:15]:
            assert not [*SITE.skills["Refused"](play(SITE.goal(id)))], losing(play(SITE.goal(id)))


def test_it_asks_only_what_it_was_not_told():
    for id in SITE.tasks("train")[:40]:
        task = SITE.goal(id)
        asked = {
            q for q in ("sit", "phone") if any(q in a for a in play(task).actions if a.startswith("ASK"))
        }
        factors = {"sit": "ask seating", "phone": "ask phone"}
        assert asked == {q for q, factor in factors.items() if factor in task.factors}


def farthest_time(target):
    """The time of that day and seating, among the free ones, that is farthest from the right one."""
    world = SITE.worlds[BOOKING.world]
    restaurant, moment = world.by_slug[target.restaurant], BOOKING.setting.moment
    return (
        availability(world, moment, restaurant, target.day, target.time, target.party, target.seating)
        .slots[-1]
        .time
    )


WRONG = {
    "day": lambda t: {"day": t.day.replace(day=t.day.day % 28 + 1)},
    "time": lambda t: {"time": farthest_time(t)},
    "party": lambda t: {"party": t.party % 4 + 1},
    "name": lambda t: {"guest": replace(t.guest, name="Ann Bo")},
    "phone": lambda t: {"guest": replace(t.guest, phone="202-555-0123")},
    "e-mail": lambda t: {"guest": replace(t.guest, email="ann@example.com")},
    "seating": lambda t: {"seating": next(s for s in ("Indoor", "Outdoor", "Bar") if s != t.seating)},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_visit_with_one_thing_wrong_loses(what):
    """Played through the pages. Where there is no such table the nearest is booked, which is wrong as well."""
    target = BOOKING.goal.target
    env = SITE.make()
    env.reset(BOOKING.id)
    book(env, wrong_errand(BOOKING, replace(target, **WRONG[what](target))))
    assert env.grade().reward == 0.0


def test_a_wrong_booking_that_is_cancelled_and_made_again_rightly_wins():
    target = BOOKING.goal.target
    env = SITE.make()
    env.reset(BOOKING.id)
    book(env, wrong_errand(BOOKING, replace(target, party=target.party % 4 + 1)))
    assert env.grade().completed and not env.grade().party
    cancel(env, 1)
    assert not env.grade().completed
    book(env, BOOKING)
    assert env.grade().reward == 1.0


def test_a_second_booking_beside_the_right_one_loses():
    env = SITE.make()
    env.reset(BOOKING.id)
    book(env, BOOKING)
    assert env.grade().reward == 1.0
    book(env, BOOKING)
    assert [name for name, met in env.grade()._asdict().items() if not met] == ["nothing_else"]


def test_a_change_may_be_a_cancellation_and_a_new_booking():
    env = SITE.make()
    env.reset(CHANGE.id)
    cancel(env, CHANGE.setting.reservations.index(CHANGE.goal.leaves) + 1)
    assert env.grade().reward == 0.0
    book(env, replace(CHANGE, factors=(), goal=replace(CHANGE.goal, leaves=None)))
    assert env.grade().reward == 1.0


def book(env, errand):
    """Let the concierge book for an errand, from the home page up to the confirmation."""
    history = History(env.snapshot().task_id, env.step("GOTO [/]").observation)
    while "Your table is reserved" not in history.observation:
        history, _ = step(env, history, errand)
        assert len(history) < 40, history.observation


def cancel(env, number):
    """Cancel a reservation through its pages."""
    page = read_observation(env.step(f"GOTO [/reservations/{number}/cancel]").observation)
    button = page.find("Cancel reservation")
    assert "cancelled" in env.step(f"CLICK [{button.id}]").observation
