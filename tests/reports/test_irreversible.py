"""The report counts the actions that can't be undone."""

from __future__ import annotations

from helpers.suite_reports import report_of, rows
from helpers.suites import AGENT_Q, agent_q, whole


def test_rehearsals_and_violations_are_summed_over_seeds_and_rounds(tmp_path):
    report = report_of(agent_q(tmp_path, tasks=9, trained=5), "", "base")
    found = rows(report, "irreversible")
    assert list(found) == list(AGENT_Q)
    rounds = AGENT_Q["Agent Q"].iterations - 1
    assert rounds > 0 and found["Agent Q + MCTS"]["while learning"] == 2 * 7 * rounds
    assert (found["Agent Q + MCTS"]["before acting"], found["Agent Q + MCTS"]["violations"]) == (2 * 5, 2 * 1)
    assert (found["base"]["before acting"], found["base"]["violations"], found["base"]["refused"]) == (
        0,
        0,
        0,
    )


def test_methods_that_rehearse_nothing_have_no_section(tmp_path):
    report = report_of(whole(tmp_path, tasks=9, trained=5))
    assert "irreversible" not in {s.id for s in report.document.sections}
