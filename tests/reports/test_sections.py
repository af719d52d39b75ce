"""The headline claims a difference only where it is significant: paired, Holm-corrected p below 0.05."""

import re
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from helpers.episodes import CARD, SKILLS, naive, spoilt

from eefcore.evaluation import stats
from eefcore.evaluation.panel import Evaluation
from eefcore.reports import sections
from eefcore.reports.comparison import compare_evaluations
from eefcore.reports.evidence import Inference, Recipe


def evaluation(method, wins, *, seeds=1, n=60):
    """Tasks t00 … of which those numbered in `wins` are won."""
    run = [naive(f"t{i:02}", 1.0 if i in wins else 0.5) for i in range(n)]
    return Evaluation(method, CARD, (run,) * seeds)


def compared(*evaluations, baseline=None):
    return compare_evaluations(evaluations, SKILLS, ours=evaluations[-1].method, baseline=baseline)


def headline(*evaluations, **rest):
    return sections.headline(compared(*evaluations, **rest), evaluations[-1].method)


THREE = evaluation("SFT POS", range(10)), evaluation("RFT×6", range(20)), evaluation("EEF", range(5, 40))


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (
            range(5, 40),
            range(20),
            r"^EEF wins 58.3 % of 60 tasks, 25.0 points more than RFT \(95 % .*p = 0.004, McN",
        ),
        (range(20), range(5, 40), r"^EEF wins 33.3 % of 60 tasks, 25.0 points fewer than RFT"),
        (
            range(21),
            range(20),
            r"^EEF wins 35.0 % of 60 tasks and RFT 33.3 %: the difference is not significant .*n ≥ \d",
        ),
        (
            range(20),
            range(20),
            r"RFT 33.3 %: the difference is not significant \(p = 1.00, McNemar’s exact test\)\.$",
        ),
    ],
)
def test_the_headline_claims_what_p_allows(ours, theirs, expected):
    assert re.search(expected, headline(evaluation("RFT", theirs), evaluation("EEF", ours)))


def test_the_headline_corrects_for_the_comparisons_of_its_table():
    """6 wins against none have p = 0.031, which two comparisons double."""
    others = evaluation("RFT", range(20)), evaluation("EEF", range(26))
    assert "10.0 points more than RFT" in headline(*others)
    several = headline(evaluation("SFT", range(19)), *others, baseline="RFT")
    assert "is not significant (Holm-corrected p = 0.062" in several


def test_the_headline_of_several_seeds():
    said = headline(evaluation("RFT", range(20), seeds=3), evaluation("EEF", range(40), seeds=3))
    assert "of 60 tasks in each of 3 seeds, 33.3 points more" in said
    assert "paired bootstrap over seeds and tasks" in said


def test_the_headline_of_one_method_alone():
    assert (
        headline(evaluation("EEF", range(30))) == "EEF wins 50.0 % of 60 tasks (95 % interval 37.7 – 62.3)."
    )


def test_the_headline_when_nothing_could_be_judged():
    broken = Evaluation("EEF", CARD, ([spoilt("t00")],))
    assert "could be judged" in headline(broken)
    assert headline(Evaluation("RFT", CARD, ([naive("t00")],)), broken).startswith("No episode of EEF")


def test_the_best_of_the_others_is_the_baseline():
    assert compared(*THREE).baseline == "RFT×6"
    assert "the best of the others" in headline(*THREE)
    assert compared(*THREE, baseline="SFT POS").baseline == "SFT POS"
    assert "the best of the others" not in headline(*THREE, baseline="SFT POS")


def test_p_is_corrected_for_the_comparisons_made():
    sft, rft, eef = compared(*THREE).rows
    assert rft.against is None and not rft.significant
    assert (sft.holm, eef.holm) == tuple(stats.holm([sft.against.wins.p, eef.against.wins.p]))
    # SFT loses 10 tasks that RFT wins and wins none; EEF wins 20 alone and loses 5.
    assert sft.against.wins.p == pytest.approx(stats.mcnemar(0, 10))
    assert eef.against.wins.p == pytest.approx(stats.mcnemar(20, 5))
    assert sft.significant and eef.significant


def test_a_gap_that_is_not_significant_says_the_n_that_it_needs():
    _, eef = compared(evaluation("RFT", range(20)), evaluation("EEF", range(3, 26))).rows
    assert not eef.significant and eef.needed_n > 60
    assert compared(*THREE).rows[2].needed_n is None


def test_the_report_says_what_significant_means():
    (facts,) = sections.WORDS.blocks
    assert (
        "paired on the same tasks and seeds, whose Holm-corrected p is below 0.05"
        in facts.facts["significant"]
    )


def test_evaluations_that_can_not_be_compared_are_refused():
    with pytest.raises(ValueError, match="share a name"):
        compared(evaluation("EEF", ()), evaluation("EEF", ()))
    with pytest.raises(ValueError, match="evaluate both on one panel"):
        compared(evaluation("RFT", (), n=9), evaluation("EEF", (), n=8))


@pytest.mark.parametrize(
    ("recipe", "line"),
    [
        ({"iterations": 1}, "Clones demonstrations of strong."),
        ({"iterations": 1, "negatives": True}, "Clones demonstrations of strong, lost ones included."),
        (
            {},
            "Clones demonstrations of strong; then, 2 times, plays each task 6 times, and learns from solutions.",
        ),
        (
            {"iterations": 2, "samples": 1, "M": 5, "explored": "weak", "negatives": True},
            "Clones demonstrations of strong; then, once, plays each task once, and begins at up to 5 states inside a "
            "demonstration of weak, and learns from solutions.",
        ),
        (
            {"K": 3, "learns": "pairs of siblings"},
            "Clones demonstrations of strong; then, 2 times, grows a tree of 6 simulations for each task, 3 actions "
            "proposed at a page, and learns from pairs of siblings.",
        ),
    ],
)
def test_a_method_is_said_in_a_line_by_what_its_stages_recorded(recipe, line):
    made = Recipe(
        base="tiny", experts="strong", negatives=False, iterations=3, samples=6, M=0, K=0, explored="", finder="",
        signals="win or loss", learns="solutions",
    )._replace(**recipe)  # fmt: skip
    at_once = Inference("at once", 0, "", 0.0, 0.0, 0.0, 0.0)
    method = SimpleNamespace(name="it", recipe=made, inference=at_once)
    assert sections.method_lines([method]).facts == {"it": line}
    searching = SimpleNamespace(name="it", recipe=made, inference=at_once._replace(how="MCTS × 6"))
    said = sections.method_lines([searching]).facts["it"]
    assert said == f"{line} On a test task it searches before it acts: MCTS × 6."


def test_what_results_were_made_with_is_what_their_stages_recorded():
    def method(name, day, commit, **parameters):
        record = SimpleNamespace(finished=datetime(2026, 11, day, tzinfo=UTC), commit=commit)
        every = {"test.split": "test", "model1.base": "tiny", "model2.base": "tiny", "model2.sizes": "9/3/3"}
        return SimpleNamespace(name=name, seeds=(0, 1), records=(record,), parameters=every | parameters)

    made = [
        method(
            "RFT",
            30,
            "abc+",
            **{"simulations2.M": 0, "simulations2.iteration": 2, "simulations2.t_high": 0.5},
        ),
        method(
            "EEF", 28, "", **{"simulations2.M": 5, "simulations2.iteration": 3, "simulations2.t_high": 0.5}
        ),
    ]
    assert list(sections.settings(made).facts.items()) == [
        ("seeds", "0, 1"),
        ("computed", "2026-11-28 to 2026-11-30"),
        ("commit", "abc+"),
        ("world", "sizes 9/3/3"),
        ("model", "base tiny"),
        ("simulations", "t_high 0.5; RFT: M 0; EEF: M 5"),
        ("test", "split test"),
    ]
    assert sections.settings(made[1:]).facts["commit"] == "not recorded"
