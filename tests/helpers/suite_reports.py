"""Reports of small suites."""

from __future__ import annotations

import json

from eefcore.experts.registry import STEPS, Measure
from eefcore.reports.document import blocks
from eefcore.reports.document.cells import numbers
from eefcore.reports.suite import evidence, report
from helpers.episodes import CARD, SKILLS, by_back, by_next, naive
from helpers.suites import KINDS, Suite, kind

PAGE = Measure("page", "page of it", "its page", "its page", lambda t: 1 + len(SKILLS["Next"](t.history)))


ORDER = "EEF both > EEF > RFT×6 > RFT > SFT POS > SFT ALL"


def world(suite: Suite) -> report.World:
    make = dict(zip(KINDS, (naive, by_next, by_back), strict=True))
    solutions = [make[kind(t)](t, 1.0) for t in suite.test]
    return report.World(SKILLS, {t: kind(t) for t in suite.test}, solutions, (PAGE, STEPS))


def made(suite: Suite, order: str = ORDER, baseline: str = "RFT×6") -> report.Made:
    methods = evidence.read(suite.inputs, json.dumps(suite.sections), CARD)
    return report.made(
        "a suite",
        methods,
        world(suite),
        order=order,
        baseline=baseline,
        dialogue=[],
        command="eef suite params/suites/a.yaml",
        versions={"eefcore": "0"},
    )


def rows(made: report.Made, name: str) -> dict[str, dict[str, object]]:
    """A table's numbers, by the first column."""
    (table,) = [t for t in blocks.tables(made.document) if t.name == name]
    columns, lines = numbers(table)
    return {str(line[0]): dict(zip(columns, line, strict=True)) for line in lines}
