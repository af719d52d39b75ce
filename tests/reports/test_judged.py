"""The report compares a judge's verdicts with the exact grader, over seeds."""

from __future__ import annotations

from helpers.episodes import CARD
from helpers.suite_reports import report_of, rows
from helpers.suites import agent_q

from eefcore.judge.verdict import Judgement, Verdict
from eefcore.storage.records import read_records, write_records
from eefcore.types import Trajectory


def judged(trajectory, says, n):
    verdict = None if n == 0 else Verdict("So it is.", {"completed": says}, says)
    return Judgement(trajectory.task_id, verdict, "unread", "", "1-abc", "gpt-4o")


def test_precision_recall_and_kappa_have_intervals_over_seeds(tmp_path):
    suite = agent_q(tmp_path, tasks=15, trained=5)
    won = []
    for name, folder in suite.inputs.items():
        if "mini_methods" in name and name.split("/")[2] in ("base", "Agent Q") and name.endswith("/test"):
            panel = read_records(folder / "panel.jsonl", Trajectory).list
            honest = "Agent Q" in name
            won += [t.win for t in panel[1:] if honest]
            said = [judged(t, t.win if honest else True, n) for n, t in enumerate(panel)]
            write_records(folder / "verdicts.jsonl", said, kind="verdicts", card=CARD)
    assert 0 < sum(won) < len(won)
    report = report_of(suite, "", "base")
    found = rows(report, "judge")
    assert list(found) == ["base", "Agent Q"]
    always, honest = found["base"], found["Agent Q"]
    assert (always["kappa"], always["kappa low"], always["kappa high"]) == (0.0, 0.0, 0.0)
    assert always["recall"] == 1.0 and always["precision"] == always["exact"] < 1
    assert honest["kappa"] == honest["precision"] == honest["recall"] == 1.0 and honest["kappa low"] < 1
    assert honest["exact"] == sum(won) / len(won) and honest["no verdict"] == always["no verdict"] == 2
    (section,) = [s for s in report.document.sections if s.id == "judge"]
    assert section.blocks[0].note.endswith("Judge and prompt: gpt-4o, 1-abc.")


def test_without_verdicts_there_is_no_section(tmp_path):
    report = report_of(agent_q(tmp_path, tasks=9, trained=5), "", "base")
    assert "judge" not in {s.id for s in report.document.sections}
