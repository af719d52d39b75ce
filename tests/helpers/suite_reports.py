"""Reports of small suites."""

from __future__ import annotations

import json

from eefcore.experts.registry import STEPS, Measure
from eefcore.reports.document.cells import csv_rows
from eefcore.reports.evidence import read_suite
from eefcore.reports.report import BenchmarkFacts, Report, build_report
from helpers.episodes import CARD, SKILLS, by_back, by_next, naive
from helpers.suites import KINDS, Suite, kind

PAGE = Measure("page", "page of it", "its page", "its page", lambda t: 1 + len(SKILLS["Next"](t.history)))


ORDER = "EEF both > EEF > RFT×6 > RFT > SFT POS > SFT ALL"


def benchmark_facts(suite: Suite) -> BenchmarkFacts:
    make = dict(zip(KINDS, (naive, by_next, by_back), strict=True))
    solutions = [make[kind(t)](t, 1.0) for t in suite.test]
    return BenchmarkFacts(SKILLS, {t: kind(t) for t in suite.test}, solutions, (PAGE, STEPS))


def report_of(suite: Suite, order: str = ORDER, baseline: str = "RFT×6") -> Report:
    methods = read_suite(suite.inputs, json.dumps(suite.sections), CARD)
    command = "eef suite params/suites/a.yaml"
    return build_report(
        "a suite", methods, benchmark_facts(suite), order=order, baseline=baseline, command=command
    )


def rows(report: Report, name: str) -> dict[str, dict[str, object]]:
    """Return a table's numbers, by the first column."""
    (table,) = [t for t in report.tables if t.name == name]
    columns, lines = csv_rows(table)
    return {str(line[0]): dict(zip(columns, line, strict=True)) for line in lines}
