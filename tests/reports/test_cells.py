"""Cells say a number with its interval, and keep the numbers for the CSV file."""

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eefcore.evaluation.stats import Difference, Estimate
from eefcore.reports.document import cells
from eefcore.reports.document.cells import BLANK, Cell, Column, Table, csv_rows, markdown_table

NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


@pytest.mark.parametrize(
    "cell, line",
    [
        (cells.share(Estimate(0.623, 0.574, 0.669, 400)), "62.3 % (57.4 – 66.9)"),
        (cells.score(Estimate(0.8912, 0.87, 0.91, 400), 3), "0.891 (0.870 – 0.910)"),
        (
            cells.gap(Difference(0.045, 0.02, 0.07, 0.001, 400), holm=0.003),
            "+4.5 (+2.0 to +7.0; p = 0.001; Holm = 0.003)",
        ),
        (
            cells.gap(Difference(-0.005, -0.03, 0.02, 0.89, 400), needs=39243),
            "−0.5 (−3.0 to +2.0; p = 0.89; needs n ≥ 39,243)",
        ),
        (cells.gap(Difference(math.nan, math.nan, math.nan, math.nan, 0)), "–"),
        (cells.share(NOTHING), "–"),
        (cells.count(1234.5, "× 2 seeds", digits=1), "1,234.5 (× 2 seeds)"),
        (cells.count(math.nan), "–"),
        (cells.amount(4800, **{"env steps": (14892, "steps")}), "4.8 k (14.9 k steps)"),
        (cells.time(225.4, 107.94), "3 min 45 s (expert $107.94)"),
        (cells.method("EEF", Estimate(0.5, 0.4, 0.6, 400, 5)), "EEF (n = 400 × 5 seeds)"),
        (cells.words("none"), "none"),
    ],
)
def test_a_cell_is_read_as(cell, line):
    assert cell.line == line


def table(*rows, columns=("Method", "win rate")):
    return Table("t", tuple(map(Column, columns)), rows)


def test_numbers_are_of_every_cell_and_empty_where_nothing_is_known():
    made = table(
        (cells.words("EEF"), cells.share(Estimate(0.5, 0.4, 0.6, 100, 5))), (cells.words("RFT"), BLANK)
    )
    columns, rows = csv_rows(made)
    assert columns == ["Method", "win rate", "win rate low", "win rate high", "win rate n", "win rate seeds"]
    assert rows == [["EEF", 0.5, 0.4, 0.6, 100, 5], ["RFT", "", "", "", "", ""]]


def test_a_number_that_is_none_is_empty():
    made = table((cells.words("EEF"), Cell("∞ ×", (), {"": math.inf, "low": math.nan, "n": 3})))
    assert csv_rows(made).rows == [["EEF", "", "", 3]]


def test_a_row_has_as_many_cells_as_columns():
    with pytest.raises(ValueError, match="table t: expected 2 cells in a row, got"):
        table((cells.words("EEF"),))


def test_columns_of_one_name_have_the_heading_above_in_front():
    made = Table("t", (Column("win rate"), Column("win rate", "Gap to RFT"), Column("time", "Cost")), ())
    assert markdown_table(made) == "| win rate | Gap to RFT win rate | time |\n| ---: | ---: | ---: |"


@given(st.lists(st.text(), min_size=1, max_size=3), st.lists(st.text(), max_size=2))
def test_any_text_stays_in_its_cell(texts, small):
    cell = Cell(" ".join(texts), tuple(small), {"": texts[0]})
    shown = markdown_table(table((cell, cell)))
    assert len(shown.split("\n")) == 3
    unescaped = shown.split("\n")[2].replace("\\|", "")
    assert unescaped.count("|") == 3


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 9)), min_size=1, max_size=5))
def test_a_csv_file_gives_the_numbers_back(values):
    made = table(
        *((cells.words(f"m{i}"), cells.share(Estimate(v, 0.0, 1.0, n))) for i, (v, n) in enumerate(values))
    )
    out = io.StringIO()
    columns, rows = csv_rows(made)
    csv.writer(out).writerows([columns, *rows])
    back = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [(float(r["win rate"]), int(r["win rate n"])) for r in back] == values
