"""Published outcomes: the tables can be computed from them again, and seeds and runs of other days are added."""

import csv

import pytest
from helpers.prose import PUBLISHED
from helpers.suite_reports import report_of, rows
from helpers.suites import BUDGETS, MAP_TASKS, METHODS, Suite

from eefcore.errors import StoreError
from eefcore.reports.document import cells
from eefcore.reports.outcomes import FILE, read_outcomes
from eefcore.reports.pooling import (
    CELLS,
    Pool,
    pool_outcomes,
    pooled_report,
    publish,
    read_pool,
    win_rate_table,
    write_pool,
)
from eefcore.storage import stages
from eefcore.storage.cost import Cost


def suite(root, seeds, tasks=30, **runs):
    made = Suite(root, tasks=tasks)
    for stem, (section, methods) in {"mini_methods": ("methods", METHODS), **runs}.items():
        made.run(stem, section, methods, seeds)
    return made


def pool(root, seeds, **more):
    return report_of(suite(root, seeds, **more)).pool


def numbers(table):
    columns, lines = cells.csv_rows(table)
    return {line[0]: dict(zip(columns, line, strict=True)) for line in lines}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return report_of(suite(tmp_path_factory.mktemp("both"), (0, 1), map_tasks=("map", MAP_TASKS)))


def test_the_tables_of_a_report_are_computed_again_from_its_files(both, tmp_path):
    """Every win rate, interval, gap and p of the main table, of experts too, to the last digit."""
    write_pool(tmp_path, both.pool)
    read = read_pool(tmp_path)
    again = numbers(win_rate_table("mini_methods", read.outcomes.evaluations("mini_methods"), "RFT×6"))
    published = rows(both, "methods")
    assert set(again) == set(published) and {"expert: strong", "EEF"} < set(again)
    for method, row in again.items():
        assert {k: published[method][k] for k in row} == row
        assert "win rate low" in row and ("win rate gap holm" in row)
    assert (tmp_path / FILE).stat().st_size < 10_000


@pytest.mark.parametrize(
    "folder", [p.parent for p in sorted(PUBLISHED.glob("*/wins.csv"))], ids=lambda p: p.name
)
def test_a_published_table_is_computed_again_from_its_files(folder):
    """Of a report over fewer seeds than were published the table is in `pooled/`."""
    assert (folder / FILE).stat().st_size < 1_000_000
    read = read_pool(folder)
    run, whole = read.outcomes.runs[0], not (folder / "pooled" / "tables").exists()
    with (folder / "tables/methods.csv" if whole else folder / f"pooled/tables/{run}.csv").open(
        newline=""
    ) as file:
        published = {line["method"]: line for line in csv.DictReader(file)}
    (baseline,) = [name for name, line in published.items() if not line["win rate gap"]]
    again = numbers(win_rate_table(run, read.outcomes.evaluations(run), baseline))
    assert set(again) == set(published)
    for method, row in again.items():
        for key in (
            "win rate",
            "win rate low",
            "win rate high",
            "win rate gap",
            "win rate gap low",
            "win rate gap holm",
        ):
            text = published[method].get(key, "")
            assert row.get(key, "") == (pytest.approx(float(text), abs=1e-6) if text else ""), (method, key)


def test_the_map_of_a_report_is_computed_again_from_its_files(both, tmp_path):
    write_pool(tmp_path, both.pool)
    again = pooled_report("a", read_pool(tmp_path), "RFT×6")
    (table,) = [
        t for c in again.chapters for t in c.section.blocks if getattr(t, "name", "") == "map_map_tasks"
    ]
    assert numbers(table) == rows(both, "map_map_tasks")
    assert again.chapters[-1].plots["map"].data == both.plots["map"].data


def test_seeds_of_another_day_are_pooled_as_if_they_had_been_computed_together(both, tmp_path):
    first, second = (pool(tmp_path / str(s), (s,), map_tasks=("map", MAP_TASKS)) for s in (0, 1))
    pooled = pool_outcomes(second, first)
    assert pooled == both.pool and not pooled.notes


def test_runs_of_another_day_stand_beside_each_other(tmp_path):
    first = pool(tmp_path / "a", (0, 1), mini_budgets=("budget", BUDGETS))
    pooled = pool_outcomes(pool(tmp_path / "b", (1, 2)), first)
    assert pooled.outcomes.runs == ["mini_methods", "mini_budgets"]
    seeds = {run: {r.seed for r in pooled.outcomes.rows if r.run == run} for run in pooled.outcomes.runs}
    assert seeds == {"mini_methods": {0, 1, 2}, "mini_budgets": {0, 1}}


def test_other_settings_are_not_pooled_and_other_code_is_said(tmp_path):
    new, old = pool(tmp_path / "a", (1,)), pool(tmp_path / "b", (0,))

    def changed(method, **fields):
        changed_rows = (r._replace(**fields) if r.method == method else r for r in old.outcomes.rows)
        return pool_outcomes(new, old._replace(outcomes=old.outcomes._replace(rows=tuple(changed_rows))))

    def seeds(pooled):
        return {r.seed for r in pooled.outcomes.rows if r.method == "EEF"}

    assert seeds(changed("EEF")) == {0, 1}
    for field in ("settings", "card"):
        other = changed("EEF", **{field: "other"})
        assert seeds(other) == {1} and "EEF, seed 0, has other parameters" in other.notes[0]
    later = changed("EEF", code="other")
    assert seeds(later) == {0, 1} and "EEF, seed 0, was computed by an earlier version" in later.notes[0]


def test_other_tasks_are_not_pooled(tmp_path):
    new = pool(tmp_path / "a", (1,))
    pooled = pool_outcomes(new, pool(tmp_path / "b", (0,), tasks=27))
    assert pooled.outcomes == new.outcomes and "other test tasks" in pooled.notes[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: "", "got nothing"),
        (lambda text: text.replace("seed,run", "run,seed"), "expected the columns seed, run"),
        (lambda text: text.rstrip() + "7\n", "expected a seed and 30 cells of 1, 0 or nothing"),
        (lambda text: text.rstrip() + ",1\n", "line "),
    ],
)
def test_a_damaged_file_is_refused(both, tmp_path, change, says):
    write_pool(tmp_path, both.pool)
    (tmp_path / FILE).write_text(change((tmp_path / FILE).read_text()))
    with pytest.raises(StoreError, match=says):
        read_outcomes(tmp_path / FILE)


def test_damaged_cells_are_refused(both, tmp_path):
    write_pool(tmp_path, both.pool)
    text = (tmp_path / CELLS).read_text()
    for damaged, says in (
        (text.replace("cell", "sell", 1), "expected the columns run, cell"),
        (text + "a,b\n", "array"),
    ):
        (tmp_path / CELLS).write_text(damaged)
        with pytest.raises(StoreError, match=says):
            read_pool(tmp_path)


def stage_of(folder, given: Pool):
    """Write what `publish` reads of a report's stage."""
    record = stages.StageRecord(
        label="suite", notebook="10_suite", params={"baseline": "RFT×6"}, inputs={}, identity="0" * 64, card=None,
        cost=Cost(), metrics={}, packages={}, seconds=0.0, attempts=1,
        started="2026-01-01T00:00:00Z", finished="2026-01-01T00:00:00Z",
    )  # fmt: skip
    folder.mkdir()
    stages.write_record(folder, record)
    write_pool(folder, given)
    (folder / "report.md").write_text(f"{len(given.outcomes.rows)} rows")
    return folder


def test_a_second_publication_keeps_the_seeds_of_the_first(both, tmp_path, monkeypatch):
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    first, second = (pool(tmp_path / str(s), (s,), map_tasks=("map", MAP_TASKS)) for s in (0, 1))
    out = tmp_path / "results" / "published" / "mini"
    assert publish("mini", stage_of(tmp_path / "a", first)).folders == (out,)
    assert not (out / "pooled").exists()
    assert publish("mini", stage_of(tmp_path / "b", second)).folders == (out, out / "pooled")
    assert read_pool(out) == both.pool
    with (out / "pooled" / "tables" / "mini_methods.csv").open(newline="") as file:
        lines = {row["method"]: row for row in csv.DictReader(file)}
    assert lines["EEF"]["win rate seeds"] == "2"
    assert float(lines["EEF"]["win rate"]) == rows(both, "methods")["EEF"]["win rate"]
    assert "| EEF (n = 30 × 2 seeds)" in (out / "pooled" / "report.md").read_text()
    assert (out / "pooled" / "figures" / "map.png").stat().st_size and (out / CELLS).exists()
    whole = publish("mini", stage_of(tmp_path / "c", both.pool))  # nothing is missing any more
    assert whole.folders == (out,) and not list((out / "pooled").rglob("*.csv"))
