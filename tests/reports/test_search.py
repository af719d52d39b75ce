"""A suite of methods that search: costs stand beside win rates, and methods that saw the reward stand apart."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.episodes import CARD
from helpers.suite_reports import report_of, rows
from helpers.suites import AGENT_Q, BOUND, GAPS, Spec, Suite, agent_q

from eefcore.evaluation.stats import Estimate
from eefcore.figures import search as search_figures
from eefcore.reports import search
from eefcore.reports.document import blocks
from eefcore.reports.document.cells import Table
from eefcore.reports.evidence import read_inference, read_suite
from eefcore.reports.report import Report
from eefcore.reports.search import SearchRound, pass_at
from eefcore.reports.tables import inference_columns
from eefcore.search import test_time
from eefcore.search.settings import Signal
from eefcore.storage.records import read_records
from eefcore.types import Trajectory

ORDER = "Agent Q + MCTS > Agent Q > trajectory DPO > RFT > base"


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Suite:
    return agent_q(tmp_path_factory.mktemp("agent_q"), tasks=15, trained=9)


@pytest.fixture(scope="module")
def full(suite) -> Report:
    return report_of(suite, ORDER, "base")


# What acting costs ------------------------------------------------------------------------------------------


def test_a_cost_stands_beside_every_score(full):
    """Of trees n simulations before each of five actions, and 90 tokens written in each of them and in the episode."""
    table = rows(full, "methods")
    found = {
        m: (r["acts"], r["search knew"], r["episode simulations"], r["episode tokens"], r["episode seconds"])
        for m, r in table.items()
    }
    assert found["base"][:3] == ("at once", "–", 0.0)
    assert found["base + beams"] == ("beams × 4", "–", 0.0, 90, 3.0)
    assert found["base + best of 6"] == ("best of 6", "the critic’s opinion", 6.0, 6 * 90, 3.0)
    assert found["Agent Q + MCTS"] == ("MCTS × 6", "the critic’s opinion", 30.0, 31 * 90, 3.0)
    assert found["expert: strong"] == ("",) * 5
    assert table["Agent Q + MCTS"]["simulations"] == table["Agent Q"]["simulations"]  # up to the model


def test_figure_1_has_its_numbers(full):
    data = {row["method"]: row for row in full.plots["win_rates"].data}
    assert list(data) == ["expert: strong", *AGENT_Q]
    assert data["base + MCTS"]["simulations\nan episode"] == 30.0
    assert "simulations\nan episode" not in data["expert: strong"]
    (results,) = [s for s in full.document.sections if s.id == "results"]
    assert results.blocks[0].title == "Win rate and reward (Agent Q Figure 1)"
    assert "Hatched: searches before it acts, knowing the critic’s opinion." in results.blocks[1].caption


def test_the_paper_s_comparisons_are_links(full):
    assert [(link.better, link.worse) for link in full.links] == [
        ("Agent Q + MCTS", "Agent Q"),
        ("Agent Q", "trajectory DPO"),
        ("trajectory DPO", "RFT"),
        ("RFT", "base"),
    ]


def test_what_a_method_explores_and_learns_from_is_what_its_stages_recorded(full):
    found = {
        m: (r["explores by"], r["learns from"], r["signals of the search"])
        for m, r in rows(full, "recipes").items()
    }
    assert found["base + MCTS"] == ("–", "demonstrations", "none")
    assert found["RFT"] == ("episodes", "solutions", "win or loss")
    assert found["trajectory DPO"] == ("episodes", "pairs of trajectories", "win or loss")
    assert found["Agent Q"] == ("trees, K = 4", "pairs of siblings", "win or loss, the critic")
    union = rows(full, "recipes_mini_expert")["Agent Q along experts"]
    assert (union["explores by"], union["simulations a task and iteration"]) == (
        "trees, K = 4, along strong",
        9.0,
    )


def test_a_figure_says_where_nothing_could_be_judged():
    nan = float("nan")
    plot = search_figures.win_rates_and_costs(
        {"expert": Estimate(0.5, 0.4, 0.6, 9), "spoilt": Estimate(nan, nan, nan, 0)},
        {"spoilt": {"seconds": 0.0}},
        {"spoilt": True},
    )
    assert "nothing judged" in [t.get_text() for t in plot.axes[0].texts]
    assert plot.data[1]["seconds"] == 0.0 and "seconds" not in plot.data[0]


# Who saw the reward -----------------------------------------------------------------------------------------


def test_methods_that_saw_the_reward_share_no_table_with_those_that_did_not(full):
    saw = {m for m, spec in BOUND.items() if spec.acts}
    for table in blocks.tables(full.document):
        names = {row[0].text for row in table.rows} & {*AGENT_Q, *GAPS, *BOUND}
        if table.name != "outcomes":  # which counts, and compares nothing
            assert not names & saw or table.name.startswith("oracle_"), table.name
            assert not table.name.startswith("oracle_") or names == saw
    (table,) = [t for t in blocks.tables(full.document) if t.name == "oracle_mini_oracle"]
    assert {r["search knew"] for r in rows(full, table.name).values()} == {"the reward"}
    (cards,) = [s for s in full.document.sections if s.id == "card"]
    facts = [block.facts for block in cards.blocks if isinstance(block, blocks.Facts)]
    assert [f.get("search saw") for f in facts] == [None, "the reward"]
    assert all(
        saw.isdisjoint({row.get("method") for row in p.data})
        for n, p in full.plots.items()
        if n[:6] != "oracle"
    )


def test_methods_go_where_their_search_belongs_whatever_their_run(suite):
    found = read_suite(suite.inputs, json.dumps(suite.sections), CARD)
    assert list(found) == ["methods", "ablation", "search", "union", "oracle"]
    assert [m.name for m in found["ablation"]["mini_oracle"]] == ["base"]
    assert [m.name for m in found["oracle"]["mini_oracle"]] == [m for m, s in BOUND.items() if s.acts]


def test_a_suite_of_nothing_else_has_a_report_without_experts(tmp_path):
    bound = {m: spec._replace(like="") for m, spec in BOUND.items() if spec.acts}
    alone = report_of(Suite(tmp_path, tasks=9, trained=6).run("mini", "methods", bound, (0,)), ORDER, "base")
    assert list(rows(alone, "methods")) == list(bound)
    assert "oracle" not in {s.id for s in alone.document.sections}


# The gap ----------------------------------------------------------------------------------------------------

SURE = {
    "base": Spec((1.0, 0.0, 0.0)),
    "base + MCTS×2": Spec((1.0, 1.0, 0.0), like="base", acts=("mcts", "critic", 2)),
    "base + MCTS×6": Spec((1.0, 1.0, 1.0), like="base", acts=("mcts", "critic", 6)),
    "base + beams": Spec((1.0, 0.0, 0.0), like="base", acts=("beam", "critic", 4)),
    "Agent Q": Spec((1.0, 1.0, 0.0), iterations=2, samples=4, trees="tiny", preferences="win"),
    "Agent Q + MCTS×6": Spec((1.0, 1.0, 1.0), like="Agent Q", acts=("mcts", "critic", 6)),
}
"""Outcomes without luck: each third of the tasks is won or is not."""


@pytest.fixture(scope="module")
def sure(tmp_path_factory) -> Report:
    suite = Suite(tmp_path_factory.mktemp("sure"), tasks=15, trained=9)
    suite.run("mini", "methods", {"base": SURE["base"], "Agent Q": SURE["Agent Q"]}, (0, 1))
    return report_of(suite.run("budgets", "search", SURE, (0, 1)), ORDER, "base")


def test_the_gap_matches_a_hand_computation(sure):
    points = {
        (r["model"], r["simulations before each action"]): r["value"] for r in sure.plots["gap_budgets"].data
    }
    assert points == {
        ("base", 0): pytest.approx(1 / 3),
        ("base", 2): pytest.approx(2 / 3),
        ("base", 6): 1.0,
        ("Agent Q", 0): pytest.approx(2 / 3),
        ("Agent Q", 6): 1.0,
    }
    table = rows(sure, "gap_budgets")
    assert {m: r["model"] for m, r in table.items()} == {m: m.partition(" +")[0] for m in SURE}
    assert table["base + MCTS×6"]["win rate gap"] == pytest.approx(2 / 3)
    assert table["Agent Q + MCTS×6"]["win rate gap"] == pytest.approx(1 / 3)
    assert table["base"]["win rate gap"] == table["Agent Q"]["win rate gap"] == ""
    (section,) = [s for s in sure.document.sections if s.id == "gap"]
    sentences = [line for b in section.blocks if isinstance(b, blocks.Points) for line in b.lines]
    assert sentences[0].startswith(
        "base: 6 simulations before each action add +66.7 points, significant (95 % interval +"
    )
    assert sentences[1].startswith("Agent Q: 6 simulations before each action add +33.3 points")


def test_a_model_that_never_acts_at_once_is_compared_with_nothing(tmp_path):
    only = {"searcher": SURE["base + MCTS×6"]._replace(like="")}
    suite = Suite(tmp_path, tasks=9, trained=6).run("mini", "methods", {"base": SURE["base"]}, (0,))
    report = report_of(suite.run("budgets", "search", only, (0,)), ORDER, "base")
    assert rows(report, "gap_budgets")["searcher"]["win rate"] == 1.0
    assert "gap_budgets" not in report.plots


def test_a_method_that_acts_as_another_of_the_same_model_has_a_line_of_its_own(tmp_path):
    """As with another critic: neither hides the other."""
    both = {
        **SURE,
        "base + MCTS×6, another critic": SURE["base + MCTS×2"]._replace(acts=("mcts", "critic", 6)),
    }
    suite = Suite(tmp_path, tasks=9, trained=6).run("budgets", "search", both, (0,))
    found = rows(report_of(suite, ORDER, "base"), "gap_budgets")
    assert (found["base + MCTS×6"]["win rate"], found["base + MCTS×6, another critic"]["win rate"]) == (
        1.0, pytest.approx(2 / 3),
    )  # fmt: skip


# Ceilings ----------------------------------------------------------------------------------------------------


def test_a_ceiling_stands_beside_the_methods_in_a_table_of_its_own(sure):
    """Two thirds of the tasks need no Back; MCTS×6 of base wins the others as well. Beams rehearse nothing, and have none."""
    table = rows(sure, "ceiling_budgets")
    assert set(table) == {"base + MCTS×2", "base + MCTS×6", "Agent Q + MCTS×6"}
    few, many = table["base + MCTS×2"], table["base + MCTS×6"]
    assert (few["solvable"], many["solvable"]) == (pytest.approx(2 / 3), 1.0)
    assert [few[f"solvable {kind}"] for kind in ("plain", "next", "back")] == [1.0, 1.0, 0.0]
    assert (few["rehearsed"], few["judging steps"]) == (2.0, 6.0)
    assert few["solvable low"] < 2 / 3 < few["solvable high"]
    assert not {"win rate", "reward", "simulations"} & few.keys()
    ceilings = [t for t in blocks.tables(sure.document) if t.name.startswith("ceiling_")]
    assert [t.name for t in ceilings] == ["ceiling_budgets"]  # no main method searches
    bound = test_time.search_card(CARD, Signal.REWARD)
    assert f"Card {bound.key}." in ceilings[0].note
    (cards,) = [s for s in sure.document.sections if s.id == "card"]
    assert any(bound.key in b.title for b in cards.blocks if isinstance(b, blocks.Facts))


def test_ceilings_of_seeds_without_them_are_left_out(tmp_path):
    suite = Suite(tmp_path, tasks=9, trained=6).run("mini", "methods", {"base": SURE["base"]}, (0, 1))
    suite.run("budgets", "search", SURE, (0, 1))
    (suite.inputs["seed1/budgets/base + MCTS×2/test"] / "ceiling.jsonl").unlink()
    assert "base + MCTS×2" not in rows(report_of(suite, ORDER, "base"), "ceiling_budgets")


# pass@k -----------------------------------------------------------------------------------------------------


def test_pass_at_k_matches_a_hand_computation():
    found = SearchRound(np.array([[1.0, 3.0, np.inf], [2.0, np.inf, np.inf]]), 4, [])
    assert [pass_at(found, k).value for k in (1, 2, 3, 4)] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 3 / 6])


def test_pass_at_k_counts_the_simulations_of_a_task_in_order(suite, full):
    data = {(r["search"], r["k"]): r["value"] for r in full.plots["solved_mini_budgets"].data}
    won = []
    for seed in (0, 1):
        folder = suite.inputs[f"seed{seed}/mini_budgets/Agent Q/simulations2"]
        played = read_records(folder / "simulations.jsonl", Trajectory, card=CARD).list
        won += [[t.win for t in played if t.task_id == task] for task in suite.train]
    for k in range(1, 7):
        expected = sum(any(w[:k]) for w in won) / len(won)
        assert data["Agent Q, round 2", k] == pytest.approx(expected)
    table = rows(full, "solved_mini_budgets")["Agent Q, round 2"]
    assert table["pass@1"] == data["Agent Q, round 2", 1]
    assert table["pass@k"] == data["Agent Q, round 2", 6]
    assert (table["agreement"], table["merged"]) == (pytest.approx(0.3), 0.25)


def test_rounds_that_methods_share_are_reported_once(suite):
    inputs = dict(suite.inputs)
    for seed in (0, 1):
        shared = inputs[f"seed{seed}/mini_budgets/Agent Q/simulations1"]
        for name in ("one round", "one round + MCTS×6"):
            inputs[f"seed{seed}/mini_budgets/{name}/simulations1"] = shared
    methods = read_suite(inputs, json.dumps(suite.sections), CARD)["search"]["mini_budgets"]
    assert list(search.search_rounds(methods)) == ["round 1", "round 2"]


def test_what_critics_learned_is_reported_of_each_round_once(full):
    table = rows(full, "critics_mini_critic")
    assert list(table) == ["round 1", "round 2"]
    assert (table["round 2"]["agreement_before"], table["round 2"]["agreement"]) == (0.25, 0.5)
    assert (table["round 1"]["named"], "judged" in table["round 1"]) == (0.75, False)  # nothing was judged
    assert list(rows(full, "solved_mini_critic")) == [
        f"{name}, round {i}" for name in ("Agent Q", "tuned critic") for i in (1, 2)
    ]
    assert rows(full, "ablation_mini_critic")["tuned critic + MCTS"]["acts"] == "MCTS × 6"
    assert "critics_mini_expert" not in {t.name for t in blocks.tables(full.document)}


def test_the_searches_of_the_main_methods_stand_beside_them(full):
    """With the critic and without it, round by round: what AI feedback was worth to the search itself."""
    (section,) = [s for s in full.document.sections if s.id == "searched"]
    assert "solved_main" in {b.name for b in section.blocks if isinstance(b, blocks.Picture)}
    assert set(rows(full, "solved_main")) == {
        "round 1",
        "round 2",
    }  # there it has no second method that searches


# Sweeps -----------------------------------------------------------------------------------------------------


def test_a_sweep_compares_settings_on_the_dev_set_alone(tmp_path):
    tried = {
        "Agent Q": SURE["Agent Q"],
        "simulations = 2": SURE["Agent Q"]._replace(samples=2, wins=(1.0, 0.0, 0.0)),
    }
    suite = Suite(tmp_path, tasks=12, trained=6).run("mini", "methods", {"base": SURE["base"]}, (0, 1))
    report = report_of(suite.run("some", "sweep", tried, (0, 1)), ORDER, "base")
    table = rows(report, "sweep_some")
    first, other = table["Agent Q"], table["simulations = 2"]
    assert (first["simulations simulations"], other["simulations simulations"]) == ("4", "2")
    assert not {"simulations K", "simulations critic"} & first.keys()  # in which they do not differ
    assert (first["win rate"], other["win rate"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert (first["win rate gap"], other["win rate gap"]) == ("", pytest.approx(-1 / 3))
    assert (first["win rate n"], first["win rate seeds"]) == (
        9,
        2,
    )  # the dev set of these suites; the test set has 12
    (section,) = [s for s in report.document.sections if s.id == "sweep"]
    assert [t.name for t in section.blocks if isinstance(t, Table)] == ["sweep_some", "solved_some"]
    assert rows(report, "dev")["base"]["win rate"] == pytest.approx(1 / 3)


# Both papers ------------------------------------------------------------------------------------------------


def test_every_two_of_the_union_are_compared_the_better_first(full):
    table, pairs = rows(full, "union_mini_expert"), rows(full, "pairs_mini_expert")
    assert set(table) == {"EEF", "Agent Q", "Agent Q along experts"} and len(pairs) == 3
    for pair, found in pairs.items():
        better, worse = pair.split(" > ")
        assert found["win rate gap"] == pytest.approx(table[better]["win rate"] - table[worse]["win rate"])
        assert found["win rate gap"] >= 0.0


def test_a_stage_that_was_not_asked_to_search_acts_at_once(suite):
    folder = suite.inputs["seed0/mini_methods/base/test"]
    found = read_inference([folder], 15)
    assert (found.how, found.simulations_per_action, found.signal, found.searches) == (
        "at once",
        0,
        "",
        False,
    )
    assert inference_columns({"base": found}) == []
