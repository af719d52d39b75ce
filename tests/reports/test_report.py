"""The report of a suite: every number of its tables follows from the stages on disk, by hand for outcomes set by hand."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from helpers import suites
from helpers.episodes import CARD
from helpers.suite_reports import ORDER, report_of, rows
from helpers.suites import KINDS, Spec, Suite, whole

from eefcore.errors import CardMismatch, ParamsError, StoreError
from eefcore.evaluation.formatting import compact
from eefcore.reports.document import blocks
from eefcore.reports.document.blocks import CaseStudy
from eefcore.reports.document.cells import Table
from eefcore.reports.evidence import read_suite
from eefcore.reports.report import BenchmarkFacts, Report, build_report, summary
from eefcore.types import Card

SURE = {
    "SFT POS": Spec((1.0, 0.0, 0.0)),
    "RFT×6": Spec((1.0, 1.0, 0.0), iterations=2, samples=6),
    "EEF": Spec((1.0, 1.0, 1.0), iterations=2, samples=1, M=2),
}
"""Outcomes without luck: each wins one more of three kinds of task."""


@pytest.fixture(scope="module")
def sure(tmp_path_factory) -> Report:
    suite = Suite(tmp_path_factory.mktemp("sure"), tasks=30, trained=12)
    return report_of(suite.run("mini", "methods", SURE, (0, 1)))


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Suite:
    return whole(tmp_path_factory.mktemp("whole"), tasks=15, trained=9)


@pytest.fixture(scope="module")
def full(suite) -> Report:
    return report_of(suite)


# Tables 1 to 4, by hand -----------------------------------------------------------------------------------


def test_the_main_table(sure):
    table = rows(sure, "methods")
    assert list(table) == ["expert: strong", "SFT POS", "RFT×6", "EEF"]
    assert [table[m]["win rate"] for m in SURE] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert {(row["win rate n"], row["win rate seeds"]) for row in table.values()} == {(30, 2)}
    assert table["EEF"]["win rate gap"] == pytest.approx(1 / 3)
    assert table["SFT POS"]["win rate gap"] == pytest.approx(-1 / 3)
    assert table["RFT×6"]["win rate gap"] == ""
    assert [table[m]["signals"] for m in SURE] == ["none", "win or loss", "win or loss"]
    assert table["expert: strong"]["signals"] == ""


def test_costs_are_of_one_seed(sure):
    table = rows(sure, "methods")
    assert [table[m]["simulations"] for m in SURE] == [0, 12 * 6, 12 * (1 + 2)]
    assert table["EEF"]["simulations env steps"] == 8 * 36
    assert table["EEF"]["seconds expert $"] == pytest.approx(12 * 0.27)


def test_the_report_describes_the_expert_data(sure):
    (row,) = rows(sure, "data").values()
    assert (row["trajectories"], row["$ per trajectory"]) == (12, pytest.approx(0.27))
    assert row["win rate"] == pytest.approx(row["positive"] / 12)


def test_what_methods_use_is_what_their_stages_recorded(full):
    found = {
        name: (
            row["negative trajectories"],
            row["iterations"],
            row["simulations a task and iteration"],
            row["experts"],
        )
        for name, row in rows(full, "recipes").items()
    }
    assert found == {
        "SFT ALL": ("yes", 1, 0, "strong"),
        "SFT POS": ("no", 1, 0, "strong"),
        "ETO": ("no", 2, 1.0, "strong"),
        "RFT": ("no", 2, 1.0, "strong"),
        "RFT×6": ("no", 3, 6.0, "strong"),
        "EEF": ("yes", 3, 6.0, "strong"),
        "EEF both": ("yes", 3, 11.0, "strong+weak"),
    }
    assert rows(full, "recipes")["ETO"]["signals of the search"] == "reward"


def test_skills_and_how_many_times_the_baseline(sure):
    table = rows(sure, "skills")
    assert [table[m]["Next success"] for m in SURE] == pytest.approx([0.0, 1 / 3, 1 / 3])
    assert [table[m]["Back success"] for m in SURE] == pytest.approx([0.0, 0.0, 1 / 3])
    assert table["EEF"]["Next ratio"] == pytest.approx(1.0)
    assert table["RFT×6"]["Next ratio"] == ""
    (shown,) = [t for t in blocks.tables(sure.document) if t.name == "skills"]
    back = shown.rows[-1][-1]
    assert (back.text, back.small) == ("∞ ×", ())  # the baseline never wins so, and nothing bounds that


def test_skills_have_their_sentences(sure):
    (section,) = [s for s in sure.document.sections if s.id == "navigation"]
    following, back = section.blocks[-1].lines
    assert following.startswith(
        "Next: EEF wins 33.3 % of the tasks by using it, RFT×6 33.3 %: 1.0 times as many"
    )
    assert following.endswith("; the 95 % interval, 1.0 – 1.0, lies below 2.")
    assert back == "Back: EEF wins 33.3 % of the tasks by using it, RFT×6 0.0 %."


def test_the_paper_s_order_is_tested_neighbour_by_neighbour(sure):
    assert [(link.better, link.worse, link.verdict) for link in sure.links] == [
        ("EEF", "RFT×6", "significant"),
        ("RFT×6", "SFT POS", "significant"),
    ]
    trained = [compact(rows(sure, "methods")[m]["tokens trained"]) for m in ("EEF", "RFT×6")]
    assert sure.document.details == (
        "Significant differences. EEF beats RFT×6 by 33.3 points; RFT×6 beats SFT POS by 33.3 points.",
        "Next: EEF wins 33.3 % of tasks by using it, RFT×6 33.3 %.",
        "Back: EEF wins 33.3 % of tasks by using it, RFT×6 0.0 %.",
        f"Cost a seed: 36 simulations and {trained[0]} trained tokens, against 72 and {trained[1]}.",
    )
    assert sure.document.headline.startswith(
        "EEF wins 100.0 % of 30 tasks in each of 2 seeds, 33.3 points more than"
    )


def test_what_is_logged(sure):
    logged = summary(sure)
    assert (logged["suite/seeds"], logged["suite/n"], logged["suite/links_told"]) == (2, 30, 2)
    assert (logged["suite/win_rate"], logged["suite/gap"]) == pytest.approx((1.0, 1 / 3))


# Why ------------------------------------------------------------------------------------------------------


def test_win_rate_by_difficulty(sure):
    table = rows(sure, "difficulty")
    assert [table["SFT POS"][f"kind {k}"] for k in KINDS] == pytest.approx([1.0, 0.0, 0.0])
    assert [table["RFT×6"][f"kind {k}"] for k in KINDS] == pytest.approx([1.0, 1.0, 0.0])
    assert table["RFT×6"]["page 2"] == pytest.approx(1.0)  # those that need Next
    assert table["RFT×6"]["page 1"] == pytest.approx(0.5)


def test_which_method_solved_what_first(sure):
    solved = rows(sure, "first_solved")
    assert solved["EEF"]["solved"] == 1.0
    assert solved["SFT POS"]["solved"] <= solved["RFT×6"]["solved"] < 1.0
    assert solved["SFT POS"]["alone the first to"] == 0.0  # what it has others have as well
    (growth,) = [t for t in blocks.tables(sure.document) if t.name == "growth"]
    ways = {(row[0].text, row[1].text, row[2].text) for row in growth.rows}
    assert ("EEF", "1", "the task’s start") in ways
    assert ("SFT POS", "1", "the task’s start") not in ways
    said = " ".join(
        b.text for s in sure.document.sections if s.id == "why" for b in s.blocks if hasattr(b, "text")
    )
    assert (
        "0.0 % of the 12 training tasks were solved by no method of a seed; 0 of them in none of the 2 seeds."
        in said
    )


def test_the_report_says_what_each_method_was_trained_on(full):
    table = rows(full, "trained")
    assert table["SFT ALL"]["an expert’s mistakes"] > 0.0
    assert table["SFT POS"]["an expert’s mistakes"] == 0.0
    assert table["SFT ALL"]["of lost trajectories"] > 0.0 == table["EEF"]["of lost trajectories"]


# The other sections ---------------------------------------------------------------------------------------


def test_every_section_is_there(full):
    assert [s.id for s in full.document.sections] == [
        "results", "made_of", "navigation", "curve", "budget", "models", "finders", "ablation", "cases", "why",
        "outcomes", "card", "words", "again",
    ]  # fmt: skip


def test_every_figure_is_drawn_and_shown_once(full):
    shown = [b.name for s in full.document.sections for b in s.blocks if isinstance(b, blocks.Picture)]
    assert sorted(shown) == sorted(full.plots) and len(set(shown)) == len(shown)
    assert all(plot.data for plot in full.plots.values())
    names = [t.name for t in blocks.tables(full.document)]
    assert len(set(names)) == len(names)


def test_figure_3_is_over_the_simulations_that_were_made(full):
    points = {(row["method"], row["simulations per task"]) for row in full.plots["budget"].data}
    assert points == {
        ("RFT × N", 1.0),
        ("RFT × N", 11.0),
        ("EEF, M of strong", 2.0),
        ("EEF, M of strong", 6.0),
        ("EEF, M of weak", 6.0),
    }
    table = rows(full, "budget")
    assert (table["EEF M=5"]["samples"], table["EEF M=5"]["M"], table["EEF M=5"]["simulations a task"]) == (
        1,
        5,
        6.0,
    )


def test_models_are_grouped_and_each_has_its_table(full):
    assert {(row["method"], row["model"]) for row in full.plots["models"].data} == {
        (method, model) for method in ("SFT POS", "RFT×6", "EEF") for model in ("tiny", "qwen")
    }
    assert list(rows(full, "models_mini_qwen")) == ["SFT POS", "RFT×6", "EEF"]


def test_finders_are_compared_with_the_first(full):
    table = rows(full, "finders_mini_finders")
    fixed, binary = table["EEF fixed"], table["EEF binary"]
    assert fixed["simulations a task"] == 5.0 and fixed["simulations ratio"] == ""
    assert binary["simulations ratio"] == pytest.approx(binary["simulations a task"] / 5.0)
    assert 0.0 <= binary["rescues found again"] <= 1.0


def test_variants_are_compared_with_the_first(full):
    table = rows(full, "ablation_mini_orders")
    assert list(table) == ["EEF", "EEF shortest"]
    assert (table["EEF"]["win rate gap"], table["EEF shortest"]["win rate gap"] == "") == ("", False)


def test_case_studies_name_their_seed_and_are_of_each_skill(full):
    stories = blocks.case_studies(full.document)
    assert all(isinstance(s, CaseStudy) and "(seed " in s.rule for s in stories)
    assert {(s.left.name, s.right.name) for s in stories} == {("EEF both", "RFT×6")}
    assert len({s.task for s in stories}) == len(stories)
    assert any("using Next" in s.rule for s in stories) and any("using Back" in s.rule for s in stories)


# What a suite may lack ------------------------------------------------------------------------------------


def test_seeds_may_have_different_methods(tmp_path):
    """A suite that is reported before its end compares what both have."""
    suite = Suite(tmp_path, tasks=12, trained=6).run("mini", "methods", SURE, (0, 1))
    suite.method(2, "mini", "EEF", SURE["EEF"])
    table = rows(report_of(suite), "methods")
    assert (table["EEF"]["win rate seeds"], table["RFT×6"]["win rate seeds"]) == (3, 2)
    assert (table["EEF"]["win rate gap seeds"], table["EEF"]["win rate gap"]) == (2, pytest.approx(1 / 3))


def test_a_baseline_that_was_not_run_is_the_best_of_the_others(tmp_path):
    only = {name: SURE[name] for name in ("SFT POS", "EEF")}
    result = report_of(Suite(tmp_path, tasks=9, trained=6).run("mini", "methods", only, (0,)))
    assert result.result.baseline == "SFT POS"  # the best method, whatever the expert won
    assert "Not run here: EEF both, RFT×6, RFT, SFT ALL." in str(result.document.sections[0])


def test_a_report_of_one_method_alone_is_built(tmp_path):
    result = report_of(Suite(tmp_path, tasks=6, trained=3).run("mini", "budget", {"EEF": SURE["EEF"]}, (0,)))
    assert result.links == [] and result.ours == "EEF"
    assert math.isfinite(summary(result)["suite/win_rate"])


@pytest.mark.parametrize(
    "inputs, sections, error, message",
    [
        ({}, "{}", StoreError, "10_suite: expected inputs .*, got none"),
        (
            {"seed0/mini/EEF/test": None},
            '{"mini": "figure 9"}',
            ParamsError,
            "expected one of methods, search.*, got 'figure 9'",
        ),
    ],
)
def test_what_is_no_suite_is_refused(inputs, sections, error, message):
    with pytest.raises(error, match=message):
        read_suite(inputs, sections, CARD)


def test_stages_of_another_environment_are_refused(suite):
    elsewhere = Card(CARD.name, {**CARD.facts, "products": 601})
    (first, *_) = read_suite(suite.inputs, json.dumps(suite.sections), elsewhere)["methods"]["mini_methods"]
    with pytest.raises(CardMismatch, match="products: expected 601, got 600"):
        _ = first.evaluation


def test_tables_are_of_whole_rows(full):
    assert all(isinstance(t, Table) and t.rows for t in blocks.tables(full.document))


# Without scripts ----------------------------------------------------------------------------------------


def contents(report: Report) -> set[str]:
    return {table.name for table in report.tables} | set(report.plots)


def test_a_world_without_skills_or_scripts_has_a_report_without_what_they_tell(sure, tmp_path):
    suite = Suite(tmp_path, tasks=9, trained=6).run("mini", "methods", SURE, (0,))
    methods = read_suite(suite.inputs, json.dumps(suite.sections), CARD)
    bare = build_report("a suite", methods, BenchmarkFacts({}), order=ORDER, baseline="RFT×6", command="")
    assert contents(sure) - contents(bare) == {"navigation", "skills", "difficulty", "by_page", "by_steps"}
    assert "Simplicity bias" not in json.dumps(msgspec.to_builtins(bare.document), ensure_ascii=False)


def test_mistakes_are_reported_only_where_they_are_marked(sure, tmp_path, monkeypatch):
    marked = suites.demonstrated
    monkeypatch.setattr(suites, "demonstrated", lambda *of: msgspec.structs.replace(marked(*of), marks=()))
    unmarked = report_of(Suite(tmp_path, tasks=9, trained=6).run("mini", "methods", SURE, (0,)))
    assert contents(sure) - contents(unmarked) == {"mistakes"}
    keys = [set(rows(m, "trained")["EEF"]) for m in (sure, unmarked)]
    assert {key.split(" (")[0] for key in keys[0] - keys[1]} >= {"an expert’s mistakes"}
