"""A report document with a block of every kind."""

from __future__ import annotations

from eefcore.reports.document import cells
from eefcore.reports.document.blocks import (
    CaseRow,
    CaseStudy,
    Dialogue,
    Document,
    Drawing,
    Facts,
    Listing,
    Picture,
    Points,
    Prose,
    Section,
    Side,
    Span,
    Turn,
)
from eefcore.reports.document.cells import Column, Table


def case_study(text="a sofa"):
    left, right = Turn(0, f"search {text}", text, False), Turn(1, "click Next", text, False, ("Next",))
    think = Turn(2, "Think", "OK", True)
    rows = (CaseRow(left, left, True), CaseRow(right, think, False), CaseRow(think, None, False))
    ends = Side("EEF", "win", 1.0), Side("RFT", "turn_limit", 0.0)
    return CaseStudy("t1", text, f"wins {text}", *ends, rows, 1, Side("gpt-4", "loss", 0.5), (left,))


def whole(text="words"):
    """Return a document with a block of every kind."""
    table = Table("methods", (Column("Method", words=True),), ((cells.words(text),),), text, text, (0,))
    blocks = (
        Prose(text),
        Points((text, "b")),
        table,
        Picture("fig", text, "<svg></svg>"),
        Drawing(text, "<svg></svg>", text),
        case_study(text),
        Dialogue(text, (Span(text, True, 3), Span("b", False, 1))),
        Facts({text: text}, text),
        Listing(text),
    )
    return Document(text, text, (text,), (Section("results", "Results", blocks),))
