"""Suites: what fits is planned seed by seed with nothing twice, runs side by side, and can be reported half done."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT
from helpers.workspaces import DEMO, OPEN, write_notebook, write_params
from rich.console import Console

from eefcore.errors import ParamsError, StageFailed, StoreError
from eefcore.runs import runner
from eefcore.runs.board import Board, State
from eefcore.runs.notebook import read_notebooks
from eefcore.runs.plan import Node, methods_by_stage
from eefcore.runs.planning import plan_report, plan_suite_file
from eefcore.runs.suite import read_suite
from eefcore.storage import stages

FIRST = "run: first\nmethods:\n  SFT POS: {iterations: 1}\n  EEF: {iterations: 2, explore: {M: 5}}\n"
SECOND = "run: second\nmethods:\n  EEF: {iterations: 2, explore: {M: 1}}\n  bad: {iterations: 1, train: {epochs: 3}}\n"
SUITE = (
    "suite: s\nseeds: [0, 7]\nruns: {first: methods, second: budget}\nfast: {seeds: [7], runs: [second]}\n"
)

REPORT = """
from eefcore.storage.stages import run_folder
(run_folder(run) / "report.html").write_text("\\n".join([suite, sections, benchmark, *sorted(stage.inputs)]))
stage.finish()
"""


@pytest.fixture
def path(demo: Path) -> Path:
    """A suite of two params files in a workspace of dummy notebooks."""
    folder = demo.parents[1]
    knobs = 'suite: str = ""  # its name\nsections: str = "{}"  # of runs\nbenchmark: str = "mini"  # which'
    write_notebook(folder, "10_suite", OPEN.format(name="10_suite"), REPORT, parameters=knobs)
    write_params(folder, FIRST, "first")
    write_params(folder, SECOND, "second")
    return write_suite(folder, SUITE)


def write_suite(folder: Path, text: str) -> Path:
    path = folder / "params" / "suites" / "s.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def labels(nodes: list[Node], run: str) -> list[str]:
    return [n.label for n in nodes if n.run == run]


# ---------------------------------------------------------------------------------- the plan


def test_a_seed_is_one_folder_and_what_two_files_share_is_there_once(path):
    *planned, report = plan_suite_file(path)
    assert [n.run for n in planned] == ["s/seed0"] * (len(planned) // 2) + ["s/seed7"] * (len(planned) // 2)
    assert labels(planned, "s/seed0") == labels(planned, "s/seed7")
    serves = methods_by_stage([report.inputs])
    (cloned,) = [n for n in planned if n.label == "train.1" and n.run == "s/seed0" and len(serves[n]) > 1]
    assert serves[cloned] == ["seed0/first/SFT POS", "seed0/first/EEF", "seed0/second/EEF"]
    assert labels(planned, "s/seed0").count("explore.1") == 2
    assert {n.params["seed"] for n in planned if n.notebook.stage == "train"} == {0, 7}
    assert len({n.identity for n in planned}) == len(planned)


def test_the_report_reads_every_stage_by_seed_run_method_and_place(path):
    *_, report = plan_suite_file(path)
    assert (report.run, report.label, report.notebook.name) == ("s", "suite", "10_suite")
    assert report.inputs["seed7/second/EEF/simulations1"].label == "explore.1"
    assert {name.rpartition("/")[0] for name in report.inputs} == {
        f"seed{seed}/{method}"
        for seed in (0, 7)
        for method in ("first/SFT POS", "first/EEF", "second/EEF", "second/bad")
    }
    assert report.params == {
        "suite": "s",
        "sections": json.dumps({"first": "methods", "second": "budget"}),
        "benchmark": "mini",
    }
    assert report.inputs["seed0/first/EEF/test"] is not report.inputs["seed0/second/EEF/test"]


def test_the_reports_own_parameters_win(path):
    *_, report = plan_suite_file(write_suite(path.parents[2], f"{SUITE}report: {{benchmark: big}}"))
    assert report.params["benchmark"] == "big"


def test_fast_and_chosen_seeds_are_parts_of_the_same_folders(path):
    whole = {n.folder for n in plan_suite_file(path)[:-1]}
    *fast, report = plan_suite_file(path, fast=True)
    assert {n.run for n in fast} == {"s/seed7"} and {n.folder for n in fast} < whole
    assert json.loads(report.params["sections"]) == {"second": "budget"}
    *chosen, _ = plan_suite_file(path, seeds=[0])
    assert {n.run for n in chosen} == {"s/seed0"} and {n.folder for n in chosen} < whole


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SUITE.replace("first:", "frist:"), "runs: params file 'frist' is unknown; did you mean 'first'?"),
        ("suite: s\nruns: [first]\nseeds: [0]", "runs: must name params files and sections"),
        ("suite: s\nruns: {}\nseeds: [0]", "runs: must name params files and sections"),
        ("suite: s\nruns: {first: }\nseeds: [0]", "runs.first: section of the report None is unknown"),
        (
            "suite: s\nruns: {first: budgets}\nseeds: [0]",
            "section of the report 'budgets' is unknown; did you mean 'budget'",
        ),
        (SUITE.replace("[0, 7]", "[x]"), "seeds: must list whole numbers"),
        (SUITE.replace("[0, 7]", "[-1]"), "seeds: must list whole numbers"),
        (SUITE.replace("[0, 7]", "[1, 1]"), "seeds: one is listed twice"),
        (SUITE.replace("seeds: [0", "seed: [0"), "key 'seed' is unknown; did you mean 'seeds'?"),
        (SUITE.replace("suite: s\n", ""), "suite: must be a name"),
        (
            SUITE.replace("first", "fixed"),
            "stages.train.seed: a file of a suite leaves the seed to the suite",
        ),
        (f"{SUITE}report: {{benchmak: big}}", "10_suite's parameter 'benchmak' is unknown; did you mean"),
        (f"{SUITE}report: {{sections: a}}", "10_suite's parameter 'sections' is unknown"),
        (f"{SUITE}report: {{benchmark: 3}}", "report.benchmark: must be str, got int 3"),
        (f"{SUITE}report: [a]", "report: must be a mapping, got ['a']"),
        (SUITE.replace("first", "other"), "runs: other has benchmark: 'big' and second 'mini'"),
    ],
)
def test_a_suite_that_does_not_fit_is_refused(path, text, says):
    folder = path.parents[2]
    write_params(folder, DEMO.replace("epochs: 2", "seed: 2"), "fixed")
    write_params(folder, f"shared: {{benchmark: big}}\n{FIRST}", "other")
    knobs = 'benchmark: str = "mini"  # which'
    write_notebook(folder, "02_expert", OPEN.format(name="02_expert"), parameters=knobs)
    with pytest.raises(ParamsError) as error:
        plan_suite_file(write_suite(folder, text))
    assert says in str(error.value) and "yaml" in str(error.value)


@pytest.mark.parametrize(
    ("fast", "says"),
    [
        ("", "fast: --fast needs it, as in {seeds: [0, 1], runs: [first]}, got None"),
        ("fast: {seeds: [7]}", "fast: --fast needs it"),
        ("fast: {seeds: [7], runs: []}", "fast.runs: must keep one run at least"),
        ("fast: {seeds: [7], runs: [third]}", "fast.runs: run 'third' is unknown"),
        ("fast: {seeds: [3], runs: [first]}", "fast.seeds: seed '3' is unknown"),
    ],
)
def test_a_reduced_suite_that_does_not_fit_is_refused(path, fast, says):
    text = SUITE[: SUITE.index("fast")] + fast
    with pytest.raises(ParamsError) as error:
        plan_suite_file(write_suite(path.parents[2], text), fast=True)
    assert says in str(error.value)


def test_a_seed_that_is_not_in_the_suite_is_refused(path):
    notebooks = read_notebooks(path.parents[2] / "notebooks")
    with pytest.raises(ParamsError, match="seeds: --seeds '3' is unknown"):
        read_suite(path, notebooks, seeds=[3])


def test_a_suite_runs_only_the_chosen_runs_and_reports_on_them(path):
    *_, report = plan_suite_file(path, seeds=[7], only=["second"])
    assert {tuple(name.split("/")[:2]) for name in report.inputs} == {("seed7", "second")}
    assert json.loads(report.params["sections"]) == {"second": "budget"}


def test_a_run_that_is_not_in_the_suite_is_refused(path):
    with pytest.raises(ParamsError, match="runs: --runs 'secund' is unknown; did you mean 'second'"):
        plan_suite_file(path, only=["secund"])


# ---------------------------------------------------------------------------------- running it


def run(nodes: list[Node], jobs: int = 2) -> None:
    runner.run(nodes, resume="eef suite it", jobs=jobs)


@pytest.mark.slow
def test_a_suite_runs_seed_by_seed_and_nothing_the_second_time(path, capsys):
    nodes = plan_suite_file(path)
    run(nodes, jobs=1)  # with more, a seed that waits for its expert lets the next one begin
    seeds = [
        [stages.read_record(n.folder).started for n in nodes if n.run == f"s/seed{seed}"] for seed in (0, 7)
    ]
    assert all(n.finished for n in nodes)
    assert max(seeds[0]) < min(seeds[1])
    lines = (stages.run_folder("s") / "report.html").read_text().splitlines()
    assert lines[:3] == ["s", '{"first": "methods", "second": "budget"}', "mini"]
    assert lines[3:] == sorted(nodes[-1].inputs)
    capsys.readouterr()
    run(plan_suite_file(path))
    assert capsys.readouterr().out.strip() == f"{len(nodes)} stages · {len(nodes)} finished"


def test_the_board_of_a_suite_counts_by_seed_and_file(path):
    nodes = plan_suite_file(path)
    n = (len(nodes) - 1) // 2
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=30, color_system=None)
    with Board(nodes, 2, console) as shown:
        for node in nodes[:n]:
            shown.set(node, State.DONE)
        shown.set(nodes[n], State.RUNNING)
        shown.refresh()
        frame = console.file.getvalue().rpartition("run ")[2].splitlines()
    rows = {row.split()[0]: row.split()[-1] for row in frame[1:] if "/" in row}
    assert (rows["s/seed0"], rows["s/seed7"], rows["s"]) == (f"{n}/{n}", f"0/{n}", "0/1")
    first, second = (rows[stem] for stem in ("first", "second"))
    shared = 4  # of the expert's to the first evaluation's stage
    assert int(first.partition("/")[2]) + int(second.partition("/")[2]) == n + shared
    (row,) = [row for row in frame if row.startswith(f"s/seed7/{nodes[n].folder.name}")]
    assert "SFT POS, EEF, bad" in row and "running" in row


def test_without_a_terminal_a_finished_stage_says_how_many_there_are(path):
    nodes = plan_suite_file(path)
    console = Console(file=io.StringIO(), width=40, highlight=False)
    with Board(nodes, 2, console) as shown:
        shown.set(nodes[0], State.RUNNING)
        shown.set(nodes[0], State.DONE)
    running, done, counts = console.file.getvalue().splitlines()
    assert running == f" running  s/seed0/{nodes[0].folder.name}"
    assert done == f"    done  s/seed0/{nodes[0].folder.name} after 0 s · 1/{len(nodes)}"
    assert counts == f"{len(nodes)} stages · {len(nodes) - 1} waiting · 1 done"


def test_a_failing_method_stops_what_reads_it_and_the_rest_can_be_reported(path):
    write_params(path.parents[2], SECOND.replace("epochs: 3", "epochs: 3, trouble: raise"), "second")
    with pytest.raises(
        StoreError, match=r"no method is finished; go on with `eef suite params.suites.s.yaml"
    ):
        plan_report("s")
    nodes = plan_suite_file(path, seeds=[0])
    with pytest.raises(StageFailed, match=r"s/seed0: train.1 \(04_train\)") as error:
        run(nodes)
    assert "(3 more wait for it)" in str(error.value)
    assert [n.label for n in nodes if not n.finished] == ["train.1", "evaluate.1", "evaluate.test", "suite"]

    found = plan_report("s")
    assert found.missing["seed0/second/bad"] == 3 and "seed7/first/EEF" in found.missing
    assert {name.rpartition("/")[0] for name in found.report.inputs} == {
        "seed0/first/SFT POS",
        "seed0/first/EEF",
        "seed0/second/EEF",
    }
    done = eef("report", "s")
    assert done.returncode == 0, done.stderr
    assert "not finished: seed0/second, 3 stages of bad" in done.stdout
    assert done.stdout.endswith("Report: results/s/report.html\n")
    assert "seed0/second/EEF/test" in (stages.run_folder("s") / "report.html").read_text()


@pytest.mark.notebook
@pytest.mark.xdist_group("notebooks")
def test_a_small_suite_of_the_real_notebooks(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    path = tmp_path / "tiny.yaml"
    path.write_text("suite: tiny\nseeds: [0]\nruns: {smoke: methods}\n")
    run(plan_suite_file(path))
    text = (stages.run_folder("tiny") / "report.html").read_text()
    assert all(method in text for method in ("SFT POS", "ETO", "EEF"))
    assert list((tmp_path / "results" / "tiny" / "seed0").glob("evaluate.test-*/panel.jsonl"))


def eef(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("eef"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_dry_run_shows_one_seed_and_counts_the_others(path):
    done = eef("suite", path, "--dry-run", "--seeds", "0,7")
    assert done.returncode == 0, done.stderr
    n = len(plan_suite_file(path))
    assert "results/s/seed0/" in done.stdout
    assert f"results/s/seed7/: the same {n // 2} stages, {n // 2} to do" in done.stdout
    assert f"{n} stages, {n} to do" in done.stdout
    assert "whole numbers and commas" in eef("suite", path, "--dry-run", "--seeds", "a").stderr
