"""The report of a calibration: its tables follow from the trajectories, and it says itself what does not agree."""

from __future__ import annotations

import pytest

from eefcore.experts.calibration import calibrate
from eefcore.experts.registry import experts_of
from eefcore.figures.plots import Plot
from eefcore.reports.calibration import CalibrationReport, calibration_report
from eefcore.reports.document.cells import csv_rows
from eefcore.reports.document.markdown import render


@pytest.fixture(scope="module")
def played(mini):
    experts = experts_of(mini)
    return {
        name: experts.demonstrator(mini, name, seed=0).demonstrate(mini.tasks("train"))
        for name in ("strong", "weak")
    }


@pytest.fixture(scope="module")
def report(mini, played) -> CalibrationReport:
    parameters = {"benchmark": "webshop_mini", "n": None, "data": ""}
    return calibration_report({7: mini}, played, calibrate(mini, played), parameters=parameters)


def rows(report, name):
    """The rows of a table as its CSV file has them."""
    (table,) = (t for t in report.tables if t.name == name)
    columns, values = csv_rows(table)
    return [dict(zip(columns, row, strict=True)) for row in values]


def test_each_published_figure_has_a_row(mini, played, report):
    found = rows(report, "calibration")
    assert [(r["expert"], r["quantity"], r["source"]) for r in found] == [
        (c.expert, c.figure.quantity.name, c.figure.source) for c in calibrate(mini, played)
    ]
    wins = found[0]
    assert wins["ours"] == sum(t.win for t in played["strong"]) / 24 and wins["n"] == 24
    assert wins["difference"] == pytest.approx(wins["ours"] - wins["paper"])
    assert (wins["agrees"] == "yes") == (wins["difference low"] <= 0 <= wins["difference high"])


def test_the_headline_counts_what_agrees_and_the_next_line_names_the_rest(report):
    found = rows(report, "calibration")
    agreeing = [r for r in found if r["agrees"] == "yes"]
    assert f"{len(agreeing)} of {len(found)} published figures agree" in report.document.headline
    assert 0 < len(agreeing) < len(found)
    (outside,) = report.document.details
    assert outside.count("; ") == len(found) - len(agreeing) - 1
    assert all(f"{r['expert']}, {r['quantity']}: " in outside for r in found if r["agrees"] == "no")


def test_settings_are_those_of_the_experts(mini, report):
    found = {row["setting"]: row for row in rows(report, "settings")}
    for name in ("strong", "weak"):
        assert {setting: row[name] for setting, row in found.items()} == experts_of(mini).settings(name)


def test_mistakes_are_counted_once_a_trajectory(played, report):
    for row in rows(report, "mistakes"):
        making = [t for t in played[row["expert"]] if row["mistake"] in {m.kind for m in t.marks}]
        assert row["trajectories that make it"] == len(making) / 24
        assert row["win rate of these"] == sum(t.win for t in making) / len(making)
    made = {(name, m.kind) for name, trajectories in played.items() for t in trajectories for m in t.marks}
    assert {(row["expert"], row["mistake"]) for row in rows(report, "mistakes")} == made


def test_kinds_of_task_add_up(mini, played, report):
    found = [row for row in rows(report, "by_kind") if row["expert"] == "strong"]
    assert sum(row["tasks"] for row in found) == 24
    assert sum(row["tasks"] * row["length"] for row in found) == pytest.approx(
        sum(map(len, played["strong"]))
    )
    kinds = experts_of(mini).kinds(mini)
    assert {row["kind"] for row in found} == {kinds[task] for task in mini.tasks("train")}


def test_it_says_where_it_was_measured_and_with_which_parameters(mini, report):
    assert rows(report, "worlds") == [{"seed": 7, "card": mini.card.key, "training tasks": 24}]
    text = render(report.document, "figures")
    assert "- n: none\n" in text and "- data: none" in text and "(figures/calibration.png)" in text
    assert isinstance(report.plots["calibration"], Plot)
