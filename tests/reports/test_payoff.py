"""The map of where exploring failures pays: cells by what they differ in, their mechanism, and what the map claims."""

import json

import pytest
from helpers.episodes import CARD, SKILLS
from helpers.suite_reports import report_of, rows
from helpers.suites import MAP_EXPERT, MAP_TASKS, METHODS, Suite

from eefcore.errors import ParamsError
from eefcore.reports.document import blocks
from eefcore.reports.document.cells import csv_rows
from eefcore.reports.evidence import read_suite
from eefcore.reports.payoff import CellSeed, cell_name, map_cells, payoff_chapter, read_cells


def methods_of(suite):
    return read_suite(suite.inputs, json.dumps(suite.sections), CARD)["map"]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    made = Suite(tmp_path_factory.mktemp("map"), tasks=60)
    return made.run("map_tasks", "map", MAP_TASKS, (0, 1)).run("map_expert", "map", MAP_EXPERT, (0, 1))


@pytest.fixture(scope="module")
def chapter(suite):
    runs = methods_of(suite)
    evaluations = {run: [m.evaluation for m in of] for run, of in runs.items()}
    return payoff_chapter(read_cells(runs, SKILLS), evaluations)


def test_cells_are_known_by_what_they_differ_in(suite):
    cells = read_cells(methods_of(suite), SKILLS)
    assert {(c.run, c.axis) for c in cells} == {("map_tasks", "tasks"), ("map_expert", "expert")}
    assert [(c.cell, c.seed, c.tasks) for c in cells if c.run == "map_tasks"] == [
        ("5 tasks", 0, 5), ("5 tasks", 1, 5), ("20 tasks", 0, 20), ("20 tasks", 1, 20)
    ]  # fmt: skip
    assert {(c.ours, c.other) for c in cells if c.cell == "weak"} == {("EEF, weak", "RFT×6, weak")}


def test_the_mechanism_is_counted_from_the_simulations(suite):
    (cell,) = [c for c in read_cells(methods_of(suite), SKILLS) if (c.cell, c.seed) == ("weak", 1)]
    ours, other = (
        next(m for m in methods_of(suite)["map_expert"] if m.name == f"{name}, weak")
        for name in ("EEF", "RFT×6")
    )
    tasks = ours.tasks()[1]
    won_by_expert = {t.task_id for t in ours.demonstrations()[1] if t.win}
    played = [t for i in (1, 2) for t in ours.simulations(i)[1]]
    states = {t.task_id for t in played if t.win and t.n_expert}
    start = {t.task_id for t in played if t.win and not t.n_expert}
    alone = {t.task_id for i in (1, 2) for t in other.simulations(i)[1] if t.win}
    n = len(tasks)
    assert cell.demonstrated == len(won_by_expert) / n
    assert cell.only_states == len(states - start - won_by_expert) / n > 0
    assert cell.found == len((states | start) - won_by_expert) / n
    assert cell.found_other == len(alone - won_by_expert) / n
    assert (cell.simulations, cell.simulations_other) == (2 * 6.0, 2 * 6.0)
    assert 0 < cell.tries < 1
    navigated = [t for t in ours.demonstrations()[1] if any(s(t.history) for s in SKILLS.values())]
    assert cell.navigation == sum(t.win for t in navigated) / len(navigated)


def test_the_map_says_where_it_pays_and_where_it_is_noise(chapter):
    (table,) = [
        b for b in chapter.section.blocks if isinstance(b, blocks.Table) and b.name == "map_map_tasks"
    ]
    columns, lines = csv_rows(table)
    verdicts = {line[columns.index("cell")]: line[columns.index("verdict")] for line in lines}
    assert verdicts == {"5 tasks": "pays", "20 tasks": "noise"}
    (points,) = [
        b for b in chapter.section.blocks if isinstance(b, blocks.Points) and "5 tasks" in b.lines[0]
    ]
    assert "exploring failures pays, +" in points.lines[0] and "Only expert states solve" in points.lines[0]
    assert "no significant difference" in points.lines[1]


def test_a_loss_is_said_to_cost(suite):
    runs = methods_of(suite)
    cells = [c._replace(ours=c.other, other=c.ours) for c in read_cells(runs, SKILLS) if c.run == "map_tasks"]
    found = map_cells(cells, [m.evaluation for m in runs["map_tasks"]])
    assert [c.verdict for c in found] == ["costs", "noise"]


def test_the_figure_has_a_panel_an_axis_and_a_point_a_cell(chapter):
    data = chapter.plots["map"].data
    assert len({row["axis"] for row in data}) == 2
    assert [(r["cell"], r["place"]) for r in data if r["axis"] == "number of training tasks"] == [
        ("5 tasks", 5), ("20 tasks", 20)
    ]  # fmt: skip
    assert len(chapter.plots["map"].axes) == 2


def test_a_cell_with_one_finished_method_is_left_out(tmp_path):
    unfinished = {name: spec for name, spec in MAP_TASKS.items() if name != "EEF, 5 tasks"}
    cells = read_cells(methods_of(Suite(tmp_path).run("map_tasks", "map", unfinished, (0,))), SKILLS)
    assert [(c.cell, c.axis) for c in cells] == [("20 tasks", "")]


@pytest.mark.parametrize(
    ("methods", "says"),
    [
        ({"EEF": METHODS["EEF"], "RFT×6": METHODS["RFT×6"]}, "expected two methods a cell"),
        ({"EEF, a": METHODS["EEF"], "EEF both, a": METHODS["EEF both"]}, "got EEF, a, EEF both, a"),
        ({**MAP_TASKS, **MAP_EXPERT}, "its cells differ in expert, tasks"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path, methods, says):
    with pytest.raises(ParamsError, match=says):
        read_cells(methods_of(Suite(tmp_path).run("map_tasks", "map", methods, (0,))), SKILLS)


def test_a_cell_that_was_published_alone_has_the_axis_of_its_run(suite, chapter):
    runs = methods_of(suite)
    evaluations = {run: [m.evaluation for m in of] for run, of in runs.items()}
    cells = [c._replace(axis="") if c.cell == "5 tasks" else c for c in read_cells(runs, SKILLS)]
    assert payoff_chapter(cells, evaluations).plots["map"].data == chapter.plots["map"].data


def test_axes_without_a_main_table_are_reported(suite):
    report = report_of(suite)
    assert set(rows(report, "map_map_tasks")) == {"5 tasks", "20 tasks"}
    assert report.result.rows[-1].method == "EEF, 20 tasks"


def test_a_suite_shows_its_map(suite, tmp_path):
    made = (
        Suite(tmp_path, tasks=30)
        .run("centre", "methods", METHODS, (0,))
        .run("map_tasks", "map", MAP_TASKS, (0,))
    )
    report = report_of(made)
    assert set(rows(report, "map_map_tasks")) == {"5 tasks", "20 tasks"}
    assert "map" in report.plots and {c.run for c in report.pool.cells} == {"map_tasks"}


def test_a_name_without_a_comma_is_of_no_cell():
    assert [cell_name(name) for name in ("EEF, 100 tasks", "EEF", "RFT×6, one, two")] == [
        "100 tasks",
        "",
        "two",
    ]
    assert CellSeed._fields[:3] == ("run", "cell", "seed")
