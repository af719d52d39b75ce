"""Trajectories are aligned until they part, and case studies are the strongest cases over seeds."""

import msgspec
import pytest
from helpers.episodes import BACK, NAIVE, NEXT, SKILLS, by_back, by_next, click, episode, naive, spoilt, think
from hypothesis import given
from hypothesis import strategies as st

from eefcore.actions import is_thought
from eefcore.reports.case_studies import (
    Case,
    SeedPanels,
    align,
    case_study,
    explored_outcomes,
    find_cases,
    select_case_studies,
    trained_segments,
    transcript,
    turns,
)
from eefcore.reports.document.blocks import Document, Section
from eefcore.reports.document.html import write_html
from eefcore.reports.document.markdown import case_study_text
from eefcore.selection.algorithm import known_outcomes
from eefcore.types import Example, StopReason


def spell(word, **rest):
    """An episode of one action a letter; lower case is a thought, x is answered by X."""
    moves = [(think(c), "OK") if c.islower() else (click(c), c) for c in word]
    return episode("t", moves, 0.0, **rest)


@pytest.mark.parametrize(
    ("action", "thought"),
    [
        ('Think["response": "I should click Next."]', True),
        ("think[The third product fits.]", True),
        (" Think[]", True),
        ('click["button": "Think"]', False),
        ("search[think pad]", False),
        ("Thinkpad[x]", False),
        ("", False),
    ],
)
def test_thoughts(action, thought):
    assert is_thought(action) is thought


def parting(a, b):
    """The index at which each does something different first; that of its end, where it does nothing more."""
    rows, parts = align(a, b)
    return (
        tuple(len(t) if move is None else move.index for t, move in zip((a, b), rows[parts][:2], strict=True))
        if parts is not None
        else None
    )


@pytest.mark.parametrize(
    ("a", "b", "parts"),
    [
        ("AB", "AB", None),
        ("AB", "AC", (1, 1)),
        ("aAbB", "cAdB", None),  # thoughts worded otherwise
        ("aAbB", "AbC", (3, 2)),  # a thought more
        ("abA", "cB", (2, 1)),
        ("A", "AB", (1, 1)),  # one ends
        ("AbB", "A", (2, 1)),
        ("Ab", "A", None),  # the rest is talk
        ("", "", None),
    ],
)
def test_trajectories_part_where_they_do_something_different(a, b, parts):
    assert parting(spell(a), spell(b)) == parts
    assert parting(spell(b), spell(a)) == (None if parts is None else parts[::-1])


def test_a_thought_without_a_partner_stands_alone():
    rows, parts = align(spell("aAbB"), spell("AcdC"))
    shown = [tuple("-" if m is None else m.action[-3] for m in row[:2]) for row in rows]
    assert shown == [("a", "-"), ("A", "A"), ("b", "c"), ("-", "d"), ("B", "C")]
    assert parts == 4
    assert [row.same for row in rows] == [False, True, False, False, False]


words = st.text("abAB", max_size=8)


@given(words, words)
def test_nothing_is_lost_or_moved_by_aligning(a, b):
    rows, parts = align(spell(a), spell(b))
    assert [row.left for row in rows if row.left] == list(turns(spell(a)))
    assert [row.right for row in rows if row.right] == list(turns(spell(b)))
    before = rows[:parts]
    assert all(
        row.same
        or all(move is None or move.thought for move in row[:2])
        or row.left.action == row.right.action
        for row in before
    )


def test_a_turn_has_the_answer_that_followed():
    assert [(m.index, m.action, m.answer) for m in turns(by_next("a"))] == [
        (i, action, answer) for i, (action, answer) in enumerate(NEXT)
    ]


def test_different_tasks_are_not_compared():
    with pytest.raises(ValueError, match="two trajectories of one task, got tasks a and b"):
        align(naive("a"), naive("b"))


def find(better, worse, experts=(), skills=SKILLS, **rest):
    return [
        (c.skill, c.better.task_id, c.expert is not None)
        for c in find_cases(better, worse, experts, skills, **rest)
    ]


def test_a_case_study_shows_a_win_of_eef_by_navigation_over_a_loss_without():
    """b and c fit; the expert tried Next and lost on c alone, so c is the case, and b is not."""
    better = [by_next("c"), by_next("b"), by_next("a")]
    worse = [naive("a", 1.0), naive("b"), naive("c")]
    experts = [by_next("c", 0.5), naive("b", 0.5), by_next("a", 0.5)]
    (case,) = find_cases(better, worse, experts, {"Next": SKILLS["Next"]})
    assert (case.better, case.worse, case.expert) == (better[0], worse[2], experts[0])
    assert case.rule == "wins using Next; the other loses without Next; the expert tried it and lost"


@pytest.mark.parametrize(
    ("better", "worse", "experts", "found", "why"),
    [
        ([by_next("a")], [naive("a")], [], ("Next", "a", False), "did an expert try it and lose"),
        ([by_next("a")], [naive("a")], [by_next("a", 1.0)], ("Next", "a", False), "did an expert try"),
        ([by_next("a")], [by_next("a", 0.5)], [], ("Next", "a", False), "loses though it used it too"),
        ([naive("a", 1.0)], [naive("a")], [], (None, "a", False), "no such task was won using Next"),
        ([by_next("b"), by_next("a")], [naive("b"), naive("a")], [], ("Next", "a", False), ""),
    ],
)
def test_a_case_study_of_a_weaker_rule_states_its_reason(better, worse, experts, found, why):
    assert find(better, worse, experts, {"Next": SKILLS["Next"]}) == [found]
    assert why in find_cases(better, worse, experts, {"Next": SKILLS["Next"]})[0].rule


def test_a_task_makes_one_case():
    """b is the case of Back, since a, which uses it too, is that of Next."""
    both = episode("a", (*BACK[:-4], *NEXT[2:4], *BACK[-4:]), 1.0)
    assert find([both, by_back("b")], [naive("a"), naive("b")]) == [
        ("Next", "a", False),
        ("Back", "b", False),
    ]
    assert find([both], [naive("a")]) == [("Next", "a", False)]


def test_as_many_as_asked_in_order_of_their_ids():
    tasks = ["d", "b", "a", "c"]
    found = find(
        [by_next(t) for t in tasks], [naive(t) for t in tasks], skills={"Next": SKILLS["Next"]}, each=3
    )
    assert [task for _, task, _ in found] == ["a", "b", "c"]


def test_an_episode_lost_to_the_infrastructure_is_no_case():
    assert find([by_next("a")], [spoilt("a")]) == []
    assert find([by_next("a")], [naive("a", 1.0)]) == []
    assert find([by_next("a")], [episode("a", NAIVE[:3], 0.0, stop=StopReason.TURN_LIMIT)]) == [
        ("Next", "a", False)
    ]


def test_fig_1():
    """Won from s_l and s_3l, lost from s_0 and s_2l: a_0 … a_{l-1} and a_2l … a_{3l-1} are trained on."""
    expert = spell("ABCDEFGH", n_expert=8)
    own = {0: "Z", 2: "ABX", 4: "ABCDY", 6: "ABCDEFW"}
    simulations = [
        episode("t", [(click(c), c) for c in word], float(i in (2, 6)), n_expert=i) for i, word in own.items()
    ]
    assert explored_outcomes(expert, known_outcomes(simulations)) == {0: False, 2: True, 4: False, 6: True}
    examples = [Example(simulations[3], 4), Example(simulations[1], 0), Example(naive("other"), 0)]
    assert trained_segments(expert, examples) == [(0, 2), (4, 6)]
    assert trained_segments(spell("AXCDEFGH"), examples) == []


def test_a_transcript_has_authors_answers_and_the_ending():
    lines = transcript(by_next("a", n_expert=2, source="model")).splitlines()
    assert lines[0].startswith("task a: i am looking for") and lines[1] == ""
    assert lines[2].startswith("expert  0 > Think") and lines[3].strip() == "OK"
    assert [line.partition(">")[0] for line in lines if " > " in line][1:3] == ["expert  1 ", "policy  2 "]
    assert lines[-1] == "win, reward 1.00, by model"


def test_an_answer_without_an_action_is_shown_where_the_episode_ended(tmp_path):
    """In a transcript, and on its side of a case study in every form of a report; markup of its own is only text."""
    cut = naive("a", 0.0, stop=StopReason.MALFORMED)
    cut = msgspec.structs.replace(cut, refused_answer="click[<b>Buy\nNow")
    lines = transcript(cut).splitlines()
    assert lines[-4:-1] == ["no action in the last answer:", "      click[<b>Buy", "      Now"]
    assert lines[-1].startswith("malformed, reward 0.00")
    blank = msgspec.structs.replace(cut, refused_answer="\n ")
    assert transcript(blank).splitlines()[-2].strip() == "(blank)"
    assert "no action" not in transcript(naive("a"))
    shown = case_study(Case(None, by_next("a"), cut, cut, "wins", 4), "EEF", "RFT", {})
    assert (shown.left.refused_answer, shown.right.refused_answer) == ("", cut.refused_answer)
    assert case_study_text(shown).count("no action in the last answer:") == 2  # the method's and the expert's
    document = Document("t", "", (), (Section("cases", "Cases", (shown,)),))
    page = write_html(tmp_path / "report.html", document).read_text("utf-8")
    assert page.count("click[&lt;b&gt;Buy") == 2 and "click[<b>" not in page


# Case studies over seeds ----------------------------------------------------------------------------------


def seed(name, better, worse, experts=()):
    return SeedPanels(name, better, worse, experts)


def found(*seeds, **rest):
    return [
        (s.task, s.rule.partition(";")[0].partition(" (")[0], s.rule.partition("(seed")[2])
        for s in select_case_studies(seeds, "EEF", "RFT", SKILLS, **rest)
    ]


LOST = [naive("a", 0.5), naive("b", 0.5)]


def test_among_equal_case_studies_the_first_seed_is_chosen():
    one, two = (seed(f"seed {i}", [by_next("a"), naive("b")], LOST) for i in (1, 2))
    assert found(one, two) == [("a", "EEF wins using Next", " 1).")]


def test_a_stronger_rule_goes_before_an_earlier_seed():
    tried = [by_next("a", 0.5, source="gpt-4")]
    one, two = seed("seed 1", [by_next("a")], LOST), seed("seed 2", [by_next("a")], LOST, tried)
    (story,) = select_case_studies([one, two], "EEF", "RFT", SKILLS)
    assert story.rule.endswith("the expert tried it and lost (seed 2).")
    assert (story.expert.name, len(story.expert_turns)) == ("gpt-4", len(tried[0]))
    assert story.expert_turns[3].skills == ("Next",)


def test_each_skill_has_its_case_and_a_task_appears_once():
    one = seed("seed 1", [by_next("a"), naive("b", 0.5)], LOST)
    two = seed("seed 2", [by_back("a"), by_back("b")], LOST)
    assert [(task, rule) for task, rule, _ in found(one, two)] == [
        ("a", "EEF wins using Next"),
        ("b", "EEF wins using Back"),
    ]


def test_a_case_without_a_skill_only_where_there_is_no_other():
    plain = seed("seed 1", [naive("a", 1.0)], LOST)
    assert [rule for _, rule, _ in found(plain)] == ["EEF wins where the other loses"]
    assert [rule for _, rule, _ in found(plain, seed("seed 2", [by_next("b")], LOST))] == [
        "EEF wins using Next"
    ]


def test_without_a_fitting_task_there_is_no_case_study():
    assert found(seed("seed 1", [naive("a", 0.5)], LOST)) == []
