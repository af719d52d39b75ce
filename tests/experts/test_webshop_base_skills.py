"""Base skills of shopping teach a tiny base the words of the shop, and no strategy."""

import re
from collections import Counter

import pytest

from eefcore.experts.webshop.base_skills import SHARES, base_skill_examples
from eefcore.experts.webshop.view import read_call, read_view
from eefcore.rollout.rollout import replay
from eefcore.types import StopReason

N = 400


@pytest.fixture(scope="module")
def skills(mini):
    return list(base_skill_examples(mini, mini.tasks("train"), n=N, seed=0))


def of(skills, *names):
    found = [s.example for s in skills if s.name in names]
    assert found
    return found


def trained(example):
    return example.trajectory.actions[example.first :]


def read_only(example):
    return example.trajectory.actions[: example.first]


def thoughts(actions):
    return [argument for name, argument in map(read_call, actions) if name == "Think"]


def clicks(actions):
    return [argument for name, argument in map(read_call, actions) if name == "click"]


STRATEGY = re.compile("Next|Prev|Back to Search")


def test_skills_come_in_their_shares(skills):
    assert len(skills) == N and sum(SHARES.values()) == pytest.approx(1)
    counts = Counter(s.name for s in skills)
    for name, share in SHARES.items():
        assert counts[name] / N == pytest.approx(share, abs=0.07)


def test_equal_seeds_show_equal_skills(mini, skills):
    assert list(base_skill_examples(mini, mini.tasks("train"), n=30, seed=0)) == skills[:30]
    assert list(base_skill_examples(mini, mini.tasks("train"), n=30, seed=1)) != skills[:30]


def test_skills_are_shown_on_training_tasks_alone(mini, skills):
    tasks = {s.example.trajectory.task_id for s in skills}
    assert tasks <= set(mini.tasks("train")) and len(tasks) > 20


def test_every_skill_is_really_played(mini, skills):
    for s in skills:
        assert replay(mini.make(), s.example.trajectory) is s.example.trajectory
        assert s.example.trajectory.n_expert == s.example.first


def test_no_thought_that_is_trained_decides_next_or_back(skills):
    for s in skills:
        assert not [t for t in thoughts(trained(s.example)) if STRATEGY.search(t)], s


def test_next_and_back_are_trained_as_words_alone(skills):
    """`stated` clicks them, having read that it will; nothing else does."""
    for example in of(skills, "shop", "page", "again", "refused"):
        assert not [c for c in clicks(trained(example)) if STRATEGY.search(c)]
    words = {c for example in of(skills, "stated") for c in clicks(trained(example)) if STRATEGY.search(c)}
    assert words == {"Next >", "Back to Search"}


def test_a_whole_task_is_trained_from_its_start(skills):
    assert {e.first for e in of(skills, "shop")} == {0}


def test_actions_that_lead_to_a_skill_are_only_read(skills):
    for example in of(skills, "page"):
        turned = clicks(read_only(example))
        assert 1 <= len(turned) <= 3 and set(turned) == {"Next >"}
        assert len(thoughts(read_only(example))) == 1 + len(turned)
    for example in of(skills, "again"):
        assert clicks(read_only(example))[-1] == "Back to Search"
        assert read_view(example.trajectory.history.at(example.first)).page.kind == "start"


def test_a_page_skill_trains_from_a_later_page_on(skills):
    for example in of(skills, "page"):
        at = read_view(example.trajectory.history.at(example.first))
        assert at.page.kind == "results" and at.next_clicks == len(clicks(read_only(example)))
        assert read_call(trained(example)[0])[0] == "Think"


def test_an_again_skill_opens_no_product_twice(skills):
    for example in of(skills, "again"):
        opened = read_view(example.trajectory.history.at(len(example.trajectory) - 1)).opened
        assert len(opened) == 2 and len(set(opened)) == 2


def test_stated_does_what_the_last_thought_decided(skills):
    for example in of(skills, "stated"):
        thought = thoughts(read_only(example))[-1]
        verb, arguments = re.fullmatch(r".*I should (search for|click) (.+)\.", thought).groups()
        decided = [arguments] if verb == "search for" else arguments.split(", ")
        name = "search" if verb == "search for" else "click"
        assert [read_call(a) for a in trained(example)] == [(name, d) for d in decided]
        assert read_call(example.trajectory.actions[example.first - 1])[0] == "Think"


def test_stated_decides_many_things(skills):
    decided = Counter(
        "id" if c.startswith("B0") else c if c in ("Next >", "Back to Search", "Buy Now") else "value"
        for e in of(skills, "stated")
        for c in clicks(trained(e))
    )
    assert {"id", "value", "Next >", "Back to Search", "Buy Now"} == set(decided)


def test_refused_begins_at_a_refusal_and_goes_on_sensibly(skills):
    places = set()
    for example in of(skills, "refused"):
        at = read_view(example.trajectory.history.at(example.first))
        assert at.refused
        places.add(at.page.kind)
        again = read_only(example)[-1]
        assert again not in trained(example) or read_call(again) == ("click", "Buy Now")
        for i in range(example.first + 1, len(example.trajectory)):
            assert not read_view(
                example.trajectory.history.at(i)
            ).refused  # nothing that is trained is refused again
    assert places == {"start", "results", "item"}


def test_an_options_skill_says_which_options_are_offered(skills):
    counts = Counter()
    for example in of(skills, "options"):
        (thought,) = thoughts(trained(example))
        page = read_view(example.trajectory.history.at(example.first)).page
        for value, no in re.findall(r"Suppose I need (.+?), there is (no )?\1\.", thought):
            assert (value in page.options) == (not no)
            counts[no] += 1
    assert counts["no "] == counts[""] > 50


def test_naive_skills_end_in_a_purchase(skills):
    for example in of(skills, "shop", "page", "again", "refused"):
        assert example.trajectory.stop is StopReason.DONE
        assert trained(example).count(trained(example)[-1]) == 1
        assert clicks(trained(example))[-1] == "Buy Now"
