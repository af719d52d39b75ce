"""The booking site: what can't be undone there is guarded by the page, and a judge checks Agent Q's four criteria."""

from __future__ import annotations

from functools import cache

import pytest
from helpers.judges import YES, data_lines, judging_endpoint

from eefcore import envs
from eefcore.evaluation.criteria import RESERVATION
from eefcore.experts.collect import demonstrations
from eefcore.judge import judge_panel, load_judge, panel_agreement
from eefcore.search.guard import REFUSED, Guard
from eefcore.types import Trajectory


@cache
def world():
    return envs.load("booking_mini", sizes="3/0/0", seed=1)


@cache
def booked() -> list[Trajectory]:
    return demonstrations(world(), ["perfect"], "train", seed=0)


def test_the_guard_stops_what_commits_and_nothing_else():
    for t in booked():
        env = Guard(world().make())
        env.reset(t.task_id)
        answers = [env.step(action).observation for action in t.actions]
        stopped = answers.index(REFUSED)
        assert answers[:stopped] == [t.history.at(i + 1).observation for i in range(stopped)]
        assert env.violations >= 1 and env.rehearsed == 0


def test_the_guard_lets_a_search_book_in_a_snapshot():
    (t, *_) = booked()
    env = Guard(world().make())
    env.restore(t.state(0))
    rewards = [env.step(action).reward for action in t.actions]
    assert rewards[-1] == 1.0 and env.rehearsed == 1 and env.violations == 0


def test_a_judge_is_asked_by_agent_qs_criteria():
    with judging_endpoint(YES) as endpoint:
        judge = load_judge(f"openai:{endpoint.url}#recorded?cache=false", world())
        assert judge.criteria == RESERVATION
        found = judge_panel(world(), booked(), judge)
    assert all(j.verdict.success for j in found)
    assert panel_agreement([booked()], [found]).precision.value == 1.0
    goal, *actions, last = data_lines(endpoint.requests[0])
    assert goal["goal"] in {world().instruction(j.task_id) for j in found}
    assert all(line["page"].startswith(("PAGE ", "USER ")) for line in actions)
    assert list(last) == ["last page"]


@pytest.mark.browser
def test_a_judge_sees_the_last_page_of_a_browser():
    from eefcore.envs.web.chromium import missing_dependency

    if missing := missing_dependency():
        pytest.skip(missing)
    seen = envs.load("booking_mini?driver=chromium", sizes="3/0/0", seed=1)
    with judging_endpoint(YES) as endpoint:
        (found,) = judge_panel(
            seen, booked()[:1], load_judge(f"openai:{endpoint.url}#recorded?cache=false", seen)
        )
    assert len(found.picture) == 64
