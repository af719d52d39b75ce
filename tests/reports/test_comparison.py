"""An order of methods is tested neighbour by neighbour, and a difference is claimed only where it is significant."""

import pytest
from helpers.episodes import CARD, naive

from eefcore.evaluation import stats
from eefcore.evaluation.panel import Evaluation
from eefcore.reports import comparison, sections
from eefcore.reports.document.cells import csv_rows
from eefcore.types import History, StopReason, Trajectory

N = 60


def evaluation(method, wins, seeds=1):
    run = [naive(f"t{i:02}", 1.0 if i in wins else 0.5) for i in range(N)]
    return Evaluation(method, CARD, (run,) * seeds, tuple(range(seeds)))


BEST, MIDDLE, SAME, WORST = (
    evaluation("EEF", range(50)),
    evaluation("RFT", range(25)),
    evaluation("SFT", range(1, 26)),
    evaluation("SFT ALL", range(45)),
)


def test_each_link_is_a_paired_test_of_neighbours_corrected_for_all():
    links = comparison.links([WORST, SAME, MIDDLE, BEST], ["EEF", "RFT", "SFT", "SFT ALL"])
    assert [(link.better, link.worse) for link in links] == [
        ("EEF", "RFT"),
        ("RFT", "SFT"),
        ("SFT", "SFT ALL"),
    ]
    p = [stats.mcnemar(25, 0), stats.mcnemar(1, 1), stats.mcnemar(0, 20)]
    assert [link.holm for link in links] == pytest.approx(stats.holm(p))
    assert [link.verdict for link in links] == [
        "significant",
        "not significant",
        "significant, the other way round",
    ]


def test_sentences_say_what_is_significant():
    order = ["EEF", "NAT", "RFT", "SFT", "SFT ALL"]
    links = comparison.links([WORST, SAME, MIDDLE, BEST], order)
    count, first, tie, wrong, missing = comparison.link_sentences(links, order)
    assert count == "In the paper’s order 1 of 3 methods is significantly better than the next."
    assert first.startswith("EEF beats RFT by 41.7 points: significant (95 % interval +")
    assert tie.startswith("RFT − SFT: +0.0 points, not significant (95 % interval ")
    assert "needs n" not in tie  # there is no gap
    assert wrong.startswith("SFT ALL beats SFT by 33.3 points, against the paper’s order: significant (")
    assert missing == "Not run here: NAT."
    assert comparison.significant_differences(links) == (
        "Significant differences. EEF beats RFT by 41.7 points; "
        "SFT ALL beats SFT by 33.3 points, against the paper’s order."
    )
    assert (
        comparison.significant_differences(links[1:2]) == "No difference between neighbours is significant."
    )
    assert comparison.significant_differences([]) == ""


def test_a_gap_that_is_too_small_says_what_it_needs():
    (link,) = comparison.links([BEST, evaluation("RFT", range(2, 48))], ["EEF", "RFT"])
    assert (
        f"a gap of this size needs n ≥ {link.comparison.needed_n:,} in one seed)."
        in comparison.link_sentences([link], [])[1]
    )
    assert comparison.link_table([link]).rows[0][1].values["needs n"] == link.comparison.needed_n


def test_the_table_has_the_numbers():
    links = comparison.links([BEST, MIDDLE], ["EEF", "RFT"])
    columns, (row,) = csv_rows(comparison.link_table(links))
    row = dict(zip(columns, row, strict=True))
    assert row["link"] == "EEF > RFT" and row["verdict"] == "significant"
    assert row["win rate gap"] == pytest.approx(25 / N)
    assert row["win rate gap holm"] == pytest.approx(stats.mcnemar(25, 0))


def test_one_method_alone_has_no_link():
    assert comparison.links([BEST], ["EEF", "RFT"]) == []


def test_an_expert_that_its_budget_stopped_has_a_row_over_the_tasks_that_it_played():
    """The rest of the panel is no loss of its: it is counted apart, in the note and in a column of its own."""
    unpaid = [History(f"t{i:02}", "a task") for i in range(5, N)]
    stopped = [Trajectory(history=h, reward=0.0, stop=StopReason.BUDGET, source="gpt-4") for h in unpaid]
    played = [naive(f"t{i:02}", 1.0 if i < 4 else 0.5) for i in range(5)]
    expert = Evaluation("expert: gpt-4", CARD, ((*played, *stopped),), (0,))
    result = comparison.compare_evaluations([expert, BEST], {}, ours="EEF")
    row = next(r for r in result.rows if r.method == "expert: gpt-4")
    assert (row.win_rate.n, row.win_rate.value) == (5, 0.8)
    assert f"expert: gpt-4 was stopped by its budget after 5 of {N} tasks" in comparison.table_note(result)
    (table,) = sections.outcomes(result, "EEF").blocks
    assert "budget" in csv_rows(table).columns
    whole = comparison.compare_evaluations([BEST, WORST], {}, ours="EEF")
    (table,) = sections.outcomes(whole, "EEF").blocks
    assert "budget" not in csv_rows(table).columns and "budget" not in comparison.table_note(whole)
