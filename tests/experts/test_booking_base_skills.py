"""Base skills of booking teach a tiny base the pages and words of the site, in worlds that no experiment uses."""

from collections import Counter

import pytest
from helpers.booking_tasks import SITE

from eefcore.envs.booking.words import SEEN, UNSEEN
from eefcore.experts.booking.base_skills import PHRASES, SHARES, base_skill_examples
from eefcore.protocols import Reply
from eefcore.rendering.critic_prompts import BEST_ACTION, TASK_SOLVED, parse_choice

pytest.importorskip("starlette")
pytest.importorskip("selectolax")
pytest.importorskip("ada_url")

N = 60


@pytest.fixture(scope="module")
def skills():
    return list(base_skill_examples(SITE, SITE.tasks("train"), n=N, seed=0))


def trained(example):
    return example.trajectory.actions[example.first :]


def of(skills, *names):
    return [s.example for s in skills if s.name in names]


def test_skills_come_in_their_shares(skills):
    assert len(skills) == N and sum(SHARES.values()) == pytest.approx(1)
    counts = Counter(s.name for s in skills)
    assert set(counts) == set(SHARES) and all(abs(counts[s] / N - SHARES[s]) < 0.15 for s in SHARES)


def test_equal_seeds_show_equal_skills(skills):
    assert list(base_skill_examples(SITE, (), n=4, seed=0)) == skills[:4]
    assert list(base_skill_examples(SITE, (), n=4, seed=1)) != skills[:4]


def test_no_task_and_no_name_of_an_experiment_is_shown(skills):
    text = " ".join(step.observation for s in skills for step in s.example.trajectory.history.steps)
    names = [*SEEN.names, *UNSEEN.names, *(city.name for half in (SEEN, UNSEEN) for city in half.cities)]
    assert not [name for name in names if f" {name} " in text or f" {name}," in text]
    assert not {s.example.trajectory.task_id for s in skills} & set(SITE.goals)


def test_both_looks_are_read(skills):
    text = " ".join(step.observation for s in skills for step in s.example.trajectory.history.steps)
    assert "link Supperlane" in text and "link Platebook" in text


def test_what_is_trained_can_be_done(skills):
    """Nothing that the naive concierge does is refused, but for a scroll past its own end."""
    for example in of(skills, "book", "table", "details"):
        later = example.trajectory.history.steps[example.first + 1 :]
        assert not [step.observation for step in later if "\nREPLY " in step.observation]


def test_the_strategy_is_shown_now_and_then(skills):
    visits = of(skills, "book", "table", "details", "wander")
    asked = sum(any(a.startswith("ASK USER HELP") for a in trained(e)) for e in visits)
    assert 0 < asked < len(visits) / 2


def test_questions_are_answered_by_what_was_offered(skills):
    for example in of(skills, "rank", "verdict"):
        (answer,) = trained(example)
        question = example.trajectory.history.steps[-1].observation
        start, _, end = (BEST_ACTION if "Do not act yet" in question else TASK_SOLVED).partition("{options}")
        options = question.partition(start)[2].removesuffix(end).split("\n")
        assert parse_choice(Reply(answer), [o.partition(". ")[2] for o in options if o]) is not None


def test_phrases_are_what_visits_repeat(skills):
    """A token for what no visit says would be wasted, but for the words that only some tasks of the full mix need."""
    text = "\n".join(
        f"{step.observation}\n{step.action}" for s in skills for step in s.example.trajectory.history.steps
    )
    assert len(set(PHRASES)) == len(PHRASES)
    assert sum(phrase in text for phrase in PHRASES) > 0.8 * len(PHRASES)
