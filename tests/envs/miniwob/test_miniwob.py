"""MiniWoB++ through the browser: tasks of others, started, played, graded and restored."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from helpers.miniwob_solver import SOLVERS, play, solution

from eefcore.envs.web.chromium import missing_dependency
from eefcore.errors import EpisodeOver, ParamsError, ReplayMismatch
from eefcore.protocols import Pictured
from eefcore.rollout.rollout import restore
from eefcore.testing import EnvironmentContract
from eefcore.types import History, State

if find_spec("miniwob") is None:
    pytest.skip("the package miniwob is not installed", allow_module_level=True)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(missing_dependency()), reason=missing_dependency()),
]

from eefcore import envs  # noqa: E402
from eefcore.envs.miniwob.benchmark import pages, task_id  # noqa: E402
from eefcore.envs.miniwob.env import MiniWob, Task  # noqa: E402
from eefcore.envs.miniwob.site import PAGES  # noqa: E402

TASKS = {task_id(t): t for page in PAGES for t in (Task(page, "a"), Task(page, "b"))}


def of(page, seed="a"):
    return task_id(Task(page, seed))


@pytest.fixture
def env():
    env = MiniWob(TASKS)
    yield env
    env.close()


@pytest.mark.slow
class TestContract(EnvironmentContract):
    task = of("click-test-2")
    script = ("SCROLL [DOWN]", "CLICK [1]")

    def make(self):
        return MiniWob(TASKS)


@pytest.mark.parametrize("page", ["click-test-2", "enter-text"])
def test_a_solver_wins_a_page(env, page):
    _, answers = play(env, of(page), page)
    assert (answers[-1].done, answers[-1].reward) == (True, 1.0)
    assert all(not a.done and a.reward == 0.0 for a in answers[:-1])


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["a", "b"])
@pytest.mark.parametrize("page", SOLVERS)
def test_a_solver_wins_every_page_that_it_knows(env, page, seed):
    _, answers = play(env, of(page, seed), page)
    assert (answers[-1].done, answers[-1].reward) == (True, 1.0)


def test_a_wrong_click_loses_and_its_reward_is_not_below_zero(env):
    page = env.reset(of("click-test-2"))
    assert "ONE" in page and "TWO" in page
    answer = env.step("CLICK [2]")
    assert (answer.done, answer.reward) == (True, 0.0)
    with pytest.raises(EpisodeOver, match="reset"):
        env.step("CLICK [1]")


def test_neither_reward_nor_time_is_shown(env):
    first = env.reset(of("enter-text"))
    _, answers = play(env, of("enter-text"), "enter-text")
    for text in (first, *(a.observation for a in answers)):
        assert not any(word in text for word in ("reward", "Time left", "Episodes", "START"))
    assert first.count("Press") + first.count("press") <= 1  # the goal is said once, by the user


def test_leaving_or_reloading_the_page_loses(env):
    env.reset(of("enter-text"))
    answer = env.step("GOTO [/miniwob/enter-text.html]")
    assert (answer.done, answer.reward) == (True, 0.0)


def test_the_goal_says_everything(env):
    env.reset(of("enter-text"))
    answer = env.step("ASK USER HELP [Which word?]")
    assert "USER That is all I can say." in answer.observation and not answer.done


def test_equal_seeds_give_equal_pages_and_others_do_not(env):
    first, other = env.reset(of("enter-text", "a")), env.reset(of("enter-text", "b"))
    assert env.reset(of("enter-text", "a")) == first != other


def test_a_state_is_restored_by_replay(env):
    task = of("login-user")
    actions = solution("login-user", env.reset(task))
    history = History(task, env.reset(task))
    for action in actions[:2]:
        history = history.then(action, env.step(action).observation)
    fresh = MiniWob(TASKS)
    restore(fresh, history)
    assert fresh.step(actions[2]).reward == 1.0 and fresh.snapshot() == State(task, actions)
    fresh.close()
    with pytest.raises(ReplayMismatch):
        restore(env, History(task, "another page", history.steps))


def test_the_page_can_be_seen(env):
    assert isinstance(env, Pictured) and env.screenshot() is None
    env.reset(of("click-test-2"))
    assert env.screenshot().startswith(b"\x89PNG\r\n")


def test_the_benchmark_has_other_pages_in_each_split():
    world = envs.load("miniwob", sizes="60/20/20", seed=3)
    assert [len(world.tasks(s)) for s in ("train", "dev", "test")] == [60, 20, 20]
    seen = {split: set(pages(split)) for split in ("train", "dev", "test")}
    assert not seen["train"] & seen["test"] and not seen["dev"] & seen["test"]
    assert set().union(*seen.values()) == set(PAGES) and len(PAGES) == len(set(PAGES))
    again = envs.load("miniwob", sizes="60/20/20", seed=3)
    assert again.card == world.card and again.tasks("test") == world.tasks("test")
    assert envs.load("miniwob", sizes="60/20/20", seed=4).card.key != world.card.key
    assert world.card.facts["miniwob"] == "1.1.0" and len(world.card.facts["html"]) == 8
    assert {world.goal(t).page for t in world.tasks("train")} == seen["train"]


def test_an_instruction_is_the_goal_of_the_page():
    world = envs.load("miniwob", sizes="5/0/0")
    task = world.tasks("train")[0]
    env = world.make()
    assert env.reset(task).startswith(f"USER {world.instruction(task)}\n") and world.instruction(task)
    env.close()


def test_options_are_refused():
    with pytest.raises(ParamsError, match="has no options"):
        envs.load("miniwob?speed=2", sizes="5/0/0")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_page_starts_and_offers_something_to_do(env, page):
    seen = env.reset(of(page))
    goal, _, shown = seen.removeprefix("USER ").partition("\n")
    assert goal and "\n[1] " in shown
    assert env.reset(of(page)) == seen
