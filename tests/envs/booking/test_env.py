"""A visit by an agent: the contract, what it sees first, questions, the end, and restores of any state."""

import random

import pytest
from helpers.booking_tasks import SITE, play, random_action, task_with

from eefcore.envs.booking.env import BookingSite, SnapshotCache
from eefcore.envs.booking.looks import LABELS
from eefcore.testing import EnvironmentContract
from eefcore.types import State

pytest.importorskip("starlette")
pytest.importorskip("selectolax")
pytest.importorskip("ada_url")

BOOKING = task_with("other city", "sold out", "ask seating")
CHANGE, CANCELLATION = task_with("change"), task_with("cancel")
ASKING = "ASK USER HELP [Indoors or outdoors?]"


def site(cache=None):
    return BookingSite(SITE.goals, SITE.worlds, cache or SnapshotCache())


class TestBookingSite(EnvironmentContract):
    task = BOOKING.id
    script = play(BOOKING).actions
    make = staticmethod(site)


class TestLeaving(EnvironmentContract):
    """A visit that ends at once."""

    task = task_with(none_of=("cookie banner",)).id
    script = ("CLICK [5]",)
    make = staticmethod(site)


def test_the_request_stands_before_the_first_page_alone():
    env = site()
    first = env.reset(BOOKING.id)
    assert first.startswith(
        f"USER {BOOKING.instruction}\nPAGE Book a table in {BOOKING.setting.city} | /\nTIME "
    )
    assert BOOKING.instruction not in env.step("GOTO [/]").observation


def test_a_question_is_answered_and_changes_nothing():
    env = site()
    env.reset(BOOKING.id)
    before = env.digest()
    told = env.step(ASKING).observation
    assert f"\nUSER {BOOKING.goal.target.seating}, please.\n" in told
    assert env.digest() == before
    assert "USER" not in env.step("GOTO [/]").observation


def test_a_visit_that_ends_without_a_booking_has_no_reward():
    env = site()
    env.reset(TestLeaving.task)
    end = env.step("CLICK [5]")
    assert end.done and end.reward == 0.0 and "The visit is over" in end.observation


def test_a_booking_is_won_only_when_the_visit_ends():
    history = play(BOOKING)
    env = site()
    env.restore(State(BOOKING.id, history.actions[:-1]))
    assert env.grade().reward == 1.0
    end = env.step(history.actions[-1])
    assert (end.reward, end.done) == (1.0, True)


def test_what_is_graded_is_on_no_page_before_it_is_chosen():
    """Neither the hidden facts of the user nor the grade can be read on the way to the table."""
    history = play(BOOKING)
    told = next(i for i, action in enumerate(history.actions) if action.startswith("ASK"))
    for step in history.steps[1 : told + 1]:
        assert BOOKING.guest.email not in step.observation and BOOKING.id not in step.observation


def test_states_are_restored_in_any_order_with_equal_rows_and_pages():
    history, cache = play(BOOKING), SnapshotCache()
    env = site(cache)
    env.reset(BOOKING.id)
    seen = []
    for action in history.actions:
        seen.append((env.snapshot(), env.digest()))
        env.step(action)
    replayed = site()
    for i, (state, digest) in [*enumerate(seen)][::-2] + [*enumerate(seen)][::3]:
        for restored in (env, replayed):
            assert restored.restore(state) == history.steps[i].observation
            assert restored.digest() == digest


def test_the_cache_forgets_the_oldest_and_restores_it_by_replay():
    history, cache = play(BOOKING), SnapshotCache(size=2)
    env = site(cache)
    states = [State(BOOKING.id, history.actions[:i]) for i in range(6)]
    for i in (*range(6), 0, 3):
        assert env.restore(states[i]) == history.steps[i].observation
    assert cache.get(states[5]) is None and cache.get(states[3]) is not None


def test_thousands_of_restores_leave_nothing_behind():
    env = site()
    history = play(BOOKING)
    states = [State(BOOKING.id, history.actions[:i]) for i in (0, 4, 8)]
    digests = {}
    for i in range(600):
        state = states[i % 3]
        env.restore(state)
        assert digests.setdefault(state, env.digest()) == env.digest()
        env.step("GOTO [/reservations]")


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd", "//evil.example", "http://127.0.0.1:9/", "javascript:alert(1)", "data:text/html,x", "/../../etc/passwd",
        "/r/%2e%2e%2f", "/\\evil.example", "/details/1' OR 1=1", "/grade", "/api/state", "/%00", "/a\r\nSet-Cookie: session=x", "/finish",
    ],
)  # fmt: skip
def test_no_address_leads_to_the_goal_or_off_the_site(address):
    env = site()
    env.reset(BOOKING.id)
    before = env.digest()
    answer = env.step(f"GOTO [{address}]")
    assert (answer.reward, answer.done) == (0.0, False) and env.digest() == before
    assert BOOKING.guest.email not in answer.observation


def irreversible_steps(task):
    """The actions of a visit that can't be undone, by the page on which they are taken."""
    env, history = site(), play(task)
    env.reset(task.id)
    found = []
    for step in history.steps:
        if env.irreversible(step.action):
            found.append((step.action.partition(" ")[0], step.observation.partition("\n")[0].split(" | ")[1]))
        env.step(step.action)
    return found


def test_what_reserves_changes_or_cancels_can_not_be_undone_and_nothing_else():
    number = CANCELLATION.setting.reservations.index(CANCELLATION.goal.leaves) + 1
    assert irreversible_steps(BOOKING) == [("CLICK", "/details/1")]
    assert irreversible_steps(CHANGE) == [("CLICK", "/details/1")]
    assert irreversible_steps(CANCELLATION) == [("CLICK", f"/reservations/{number}/cancel")]


def test_the_same_words_commit_on_one_page_alone():
    env, history = site(), play(BOOKING)
    committing = next(
        i
        for i, s in enumerate(history.steps)
        if " | /details/1" in s.observation and s.action.startswith("CLICK")
    )
    button = history.steps[committing].action
    submit = button.replace("CLICK", "SUBMIT")
    for i in range(len(history)):
        env.restore(State(BOOKING.id, history.actions[:i]))
        on_details = " | /details/1" in history.steps[i].observation
        assert env.irreversible(button) == env.irreversible(submit) == on_details
        assert not env.irreversible("CLICK [999]") and not env.irreversible("GOTO [/details/1]")
    env.restore(State(BOOKING.id, history.actions[:committing]))
    field = history.steps[committing].observation.split(f"field {LABELS[BOOKING.setting.look.labels].name}")[
        0
    ]
    number = field.rpartition("[")[2].partition("]")[0]
    assert env.irreversible(f"SUBMIT [{number}]") and not env.irreversible(f"CLICK [{number}]")


@pytest.mark.parametrize("first", [0, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_walks_are_answered_and_replayed_and_book_nothing_right(first):
    """Whatever is clicked, typed and asked for, the site answers; a walk that is played again shows and leaves the same.

    A cancellation can be won by luck: it takes four clicks.
    """
    for seed in range(first, first + (300 if first else 10)):
        rng = random.Random(seed)
        task = SITE.goal(rng.choice(SITE.tasks(rng.choice(("train", "test")))))
        env, actions = site(), []
        seen, done = env.reset(task.id), False
        while not done and len(actions) < 40:
            actions.append(random_action(rng, seen))
            seen, reward, done = env.step(actions[-1])
            assert reward == 0.0 or task.kind == "cancel", (seed, actions)
        again = site()
        assert again.restore(State(task.id, tuple(actions))) == seen and again.digest() == env.digest()
