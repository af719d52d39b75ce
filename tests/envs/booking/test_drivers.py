"""One visit in two browsers: the solver wins in both, with equal pages and equal rows at every step."""

import random
from importlib.util import find_spec

import pytest
from helpers.booking_tasks import SITE, play, random_action, task_with

from eefcore.envs.booking.env import BookingSite, SnapshotCache
from eefcore.types import State

MISSING = [name for name in ("starlette", "selectolax", "ada_url") if find_spec(name) is None]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


def site(driver=None):
    if driver == "chromium":
        from eefcore.envs.web.chromium import open_tab

        return BookingSite(SITE.goals, SITE.worlds, SnapshotCache(), open_tab)
    return BookingSite(SITE.goals, SITE.worlds, SnapshotCache())


def both(task, actions):
    """Play the same actions in both browsers; return the last reward."""
    one, other = site(), site("chromium")
    assert one.reset(task.id) == other.reset(task.id)
    reward = 0.0
    for action in actions:
        (seen, reward, done), same = one.step(action), other.step(action)
        assert (seen, reward, done) == same, action
        assert one.digest() == other.digest(), action
        if done:
            break
    return reward


def test_a_solution_wins_in_both():
    task = task_with("sold out", "offer", split="test")
    assert both(task, play(task).actions) == 1.0


def test_a_state_is_restored_in_a_browser_from_a_visit_without_one():
    task = task_with("sold out")
    history = play(task)
    env = site("chromium")
    for i in (6, 2, len(history) - 1):
        assert env.restore(State(task.id, history.actions[:i])) == history.at(i).observation
    assert env.reset(task.id) == history.at(0).observation


def walk(seed, steps):
    """Play a random walk in both browsers."""
    rng = random.Random(seed)
    task = SITE.goal(rng.choice(SITE.tasks(rng.choice(("train", "test")))))
    one, other = site(), site("chromium")
    seen = one.reset(task.id)
    assert other.reset(task.id) == seen
    for _ in range(steps):
        action = random_action(rng, seen)
        answer = one.step(action)
        assert other.step(action) == answer, (seed, action, seen)
        assert one.digest() == other.digest(), (seed, action, seen)
        if answer.done:
            return
        seen = answer.observation


def test_a_random_walk_is_the_same_in_both():
    walk(seed=1, steps=15)


@pytest.mark.slow
@pytest.mark.parametrize(
    "first", [1000, 1050, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in range(1100, 1500, 50))]
)
def test_five_hundred_random_walks_are_the_same_in_both(first):
    for seed in range(first, first + 50):
        walk(seed, steps=8)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_sample_of_solutions_wins_in_both(split):
    for id in SITE.tasks(split)[:10]:
        task = SITE.goal(id)
        assert both(task, play(task).actions) == 1.0, task.factors
