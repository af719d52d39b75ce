"""Report how well a judge's verdicts on the test set agree with the exact grader (Agent Q §6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eefcore.evaluation.agreement import Agreement
from eefcore.judge.panel import panel_agreement
from eefcore.judge.verdict import Judgement
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Section
from eefcore.reports.document.cells import Column
from eefcore.reports.evidence import Method
from eefcore.storage.records import read_records

_NOTE = (
    "A judge sees the goal, one line for each action and the last page; the exact grader reads what the site stored. Precision: "
    "the share of the episodes judged a success that are one. Recall: the share of the successes that are judged one. κ: "
    "Cohen’s, 0 for agreement by chance and 1 for full agreement. No verdict: answers that could not be read, which are in "
    "no denominator. Small print: 95 % intervals over tasks, and over seeds where there are several. Judge and prompt: "
)


def judge_agreement(methods: Sequence[Method]) -> list[Section]:
    """Return the section on judges; nothing if no method's test episodes were judged."""
    said = {m.name: [_judgements(m, i) for i in range(len(m.seeds))] for m in methods}
    judged = {m.name: m for m in methods if any(said[m.name])}
    if not judged:
        return []
    found: Mapping[str, Agreement] = {
        name: panel_agreement(m.evaluation.runs, said[name]) for name, m in judged.items()
    }
    columns: cells.Columns[str] = [
        (Column("Method", key="method", words=True), lambda m: cells.method(m, found[m].exact)),
        (Column("precision"), lambda m: cells.share(found[m].precision)),
        (Column("recall"), lambda m: cells.share(found[m].recall)),
        (Column("κ", key="kappa"), lambda m: cells.score(found[m].kappa)),
        (Column("judged a success", key="judged"), lambda m: cells.share(found[m].judged)),
        (Column("exact win rate", key="exact"), lambda m: cells.share(found[m].exact)),
        (Column("no verdict"), lambda m: cells.count(found[m].no_verdict)),
    ]
    names = sorted({f"{j.model}, {j.prompt}" for name in judged for seed in said[name] for j in seed})
    table = cells.make_table("judge", columns, found, note=f"{_NOTE}{'; '.join(names)}.")
    return [Section("judge", "How well a judge agrees with the exact grader", (table,))]


def _judgements(method: Method, seed: int) -> list[Judgement]:
    """Return the judgements on the test episodes of one seed; none if they were not judged."""
    file = method.tests[seed] / "verdicts.jsonl"
    return read_records(file, Judgement, card=method.card).list if file.exists() else []
