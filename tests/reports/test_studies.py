"""Case studies over seeds: of each skill the strongest rule that any seed satisfies, and a task once."""

from helpers.episodes import SKILLS, by_back, by_next, naive

from eefcore.reports.studies import Seed, studied


def seed(name, better, worse, experts=()):
    return Seed(name, better, worse, experts)


def told(*seeds, **rest):
    return [
        (s.task, s.rule.partition(";")[0].partition(" (")[0], s.rule.partition("(seed")[2])
        for s in studied(seeds, "EEF", "RFT", SKILLS, **rest)
    ]


LOST = [naive("a", 0.5), naive("b", 0.5)]


def test_of_equally_strong_cases_the_first_seed_s():
    one, two = (seed(f"seed {i}", [by_next("a"), naive("b")], LOST) for i in (1, 2))
    assert told(one, two) == [("a", "EEF wins using Next", " 1).")]


def test_a_stronger_rule_goes_before_an_earlier_seed():
    tried = [by_next("a", 0.5, source="gpt-4")]
    one, two = seed("seed 1", [by_next("a")], LOST), seed("seed 2", [by_next("a")], LOST, tried)
    (story,) = studied([one, two], "EEF", "RFT", SKILLS)
    assert story.rule.endswith("the expert tried it and lost (seed 2).")
    assert (story.expert.name, len(story.expert_turns)) == ("gpt-4", len(tried[0]))
    assert story.expert_turns[3].skills == ("Next",)


def test_each_skill_has_its_case_and_a_task_is_told_once():
    one = seed("seed 1", [by_next("a"), naive("b", 0.5)], LOST)
    two = seed("seed 2", [by_back("a"), by_back("b")], LOST)
    assert [(task, rule) for task, rule, _ in told(one, two)] == [
        ("a", "EEF wins using Next"),
        ("b", "EEF wins using Back"),
    ]


def test_a_case_without_a_skill_only_where_there_is_no_other():
    plain = seed("seed 1", [naive("a", 1.0)], LOST)
    assert [rule for _, rule, _ in told(plain)] == ["EEF wins where the other loses"]
    assert [rule for _, rule, _ in told(plain, seed("seed 2", [by_next("b")], LOST))] == [
        "EEF wins using Next"
    ]


def test_no_case():
    assert told(seed("seed 1", [naive("a", 0.5)], LOST)) == []
