"""The plan is Algorithm 1; running it is resumable, and what fails says where and what to do."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import papermill
import psutil
import pytest
from helpers.workspaces import write_notebook, write_params
from papermill.exceptions import PapermillExecutionError

from eefcore.errors import ParamsError, StageBusy, StageFailed, StoreError
from eefcore.runs import runner
from eefcore.runs.opening import make_smoke_inputs, open_stage
from eefcore.runs.plan import Node, methods_by_stage, upstream
from eefcore.runs.planning import plan_run
from eefcore.storage import stages

EEF = Path(sys.executable).with_name("eef")

PLAIN = """
run: plain
stages:
  expert: {trouble: "", pause: 0.0}
methods:
  SFT POS: {iterations: 1}
"""


def reads(nodes: list[Node]) -> list[tuple[str, str]]:
    return [(n.label, " ".join(f"{k}={i.label}" for k, i in n.inputs.items())) for n in nodes]


# ---------------------------------------------------------------------------------- the plan


def test_a_method_is_algorithm_1(demo):
    write_params(demo.parents[1], "run: a\nmethods: {EEF: {iterations: 3}}")
    *planned, report = plan_run(demo)
    assert reads(planned) == [
        ("expert", ""),
        ("select.1", "experts=expert"),
        ("train.1", "examples=select.1"),
        ("evaluate.1", "model=train.1"),
        ("explore.1", "model=train.1 experts=expert"),
        ("select.2", "experts=expert simulations1=explore.1 model=train.1"),
        ("train.2", "examples=select.2 model=train.1"),
        ("evaluate.2", "model=train.2"),
        ("explore.2", "model=train.2 experts=expert"),
        ("select.3", "experts=expert simulations1=explore.1 simulations2=explore.2 model=train.2"),
        ("train.3", "examples=select.3 model=train.2"),
        ("evaluate.3", "model=train.3"),
        (
            "evaluate.test",
            "model1=train.1 model2=train.2 model3=train.3 dev1=evaluate.1 dev2=evaluate.2 dev3=evaluate.3",
        ),
    ]
    assert [n.params["split"] for n in planned if n.notebook.stage == "evaluate"] == [
        "dev",
        "dev",
        "dev",
        "test",
    ]
    assert [n.params["iteration"] for n in planned if n.notebook.stage == "select"] == [1, 2, 3]
    assert {name: n.label for name, n in report.inputs.items()} == {
        "EEF/experts": "expert",
        **{f"EEF/{kind}{i}": f"{stage}.{i}" for i in (1, 2) for kind, stage in [("simulations", "explore")]},
        **{
            f"EEF/{kind}{i}": f"{stage}.{i}"
            for i in (1, 2, 3)
            for kind, stage in [("select", "select"), ("model", "train"), ("dev", "evaluate")]
        },
        "EEF/test": "evaluate.test",
    }


def test_methods_share_what_they_begin_with(demo):
    nodes = plan_run(demo)
    serves = methods_by_stage(n.inputs for n in nodes)
    shared = [n.label for n in nodes if serves[n] == ["SFT POS", "RFT×6", "EEF"]]
    assert shared == ["expert", "select.1", "train.1", "evaluate.1"]
    labels = [n.label for n in nodes]
    assert {
        label: labels.count(label) for label in ("explore.1", "train.2", "train.3", "evaluate.test", "report")
    } == {
        "explore.1": 2,
        "train.2": 2,
        "train.3": 1,
        "evaluate.test": 3,
        "report": 1,
    }
    assert len({n.identity for n in nodes}) == len(nodes)


def test_what_cloning_does_not_read_keeps_no_methods_apart(demo):
    knobs = """iteration: int = 1  # i\nchoose: str = "a"  # of several\nkeep: str = "c"  # how many\ncloning: str = "b"  # what"""
    write_notebook(demo.parents[1], "03_select", parameters=knobs)
    lines = (
        "one: {iterations: 2}",
        "other: {iterations: 2, select: {choose: z, keep: z}}",
        "third: {iterations: 2, select: {cloning: z}}",
    )
    write_params(demo.parents[1], "run: a\nmethods:\n" + "".join(f"  {line}\n" for line in lines))
    selects = [n for n in plan_run(demo) if n.notebook.stage == "select"]
    assert [(n.label, n.params["choose"], n.params["cloning"]) for n in selects] == [
        ("select.1", "a", "b"),
        ("select.2", "a", "b"),
        ("select.2", "z", "b"),
        ("select.1", "a", "z"),
        ("select.2", "a", "z"),
    ]


def test_a_change_reaches_what_is_below_it_and_nothing_else(demo):
    def identities() -> dict[tuple[str, ...], str]:
        nodes = plan_run(demo)
        serves = methods_by_stage(n.inputs for n in nodes)
        return {(n.label, *serves[n]): n.identity for n in nodes}

    before = identities()
    demo.write_text(demo.read_text(encoding="utf-8").replace("M: 5", "M: 6"), encoding="utf-8")
    changed = {key for key, identity in identities().items() if before[key] != identity}
    assert changed == {
        ("report",),
        *((label, "EEF") for label in ("explore.1", "select.2", "train.2", "evaluate.2", "evaluate.test")),
    }


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_what_a_notebook_computes_is_part_of_its_identity(demo):
    before = {n.label: n.identity for n in plan_run(demo)}
    edit(demo.parents[1] / "notebooks" / "07_report.ipynb", "time.sleep(pause)", "time.sleep(2 * pause)")
    after = {n.label: n.identity for n in plan_run(demo)}
    assert {label for label in after if after[label] != before[label]} == {"report"}


def test_a_comment_in_a_notebook_changes_nothing(demo):
    before = {n.label: n.identity for n in plan_run(demo)}
    edit(
        demo.parents[1] / "notebooks" / "07_report.ipynb", "time.sleep(pause)", "time.sleep(pause)  # a while"
    )
    assert {n.label: n.identity for n in plan_run(demo)} == before


def test_upstream_is_what_a_stage_stands_on_in_order(demo):
    write_params(demo.parents[1], "run: a\nmethods: {EEF: {iterations: 2}}")
    (explore,) = [n for n in plan_run(demo) if n.label == "explore.1"]
    assert [n.label for n in upstream([explore])] == ["expert", "select.1", "train.1", "explore.1"]


# ---------------------------------------------------------------------------------- running it


def run(params: Path) -> list[Node]:
    nodes = plan_run(params)
    runner.run(nodes, resume="eef run it", jobs=2)
    return nodes


def plain(demo: Path, **expert: object) -> Path:
    """The params of one short method, with the behaviour of its expert."""
    return write_params(demo.parents[1], PLAIN.replace('{trouble: "", pause: 0.0}', json.dumps(expert)))


def facts(nodes: list[Node]) -> dict[str, tuple]:
    """What must not depend on how often a run was killed."""
    return {
        node.folder.name: (
            record.params,
            record.inputs,
            record.identity,
            {k: v for k, v in record.metrics.items() if k != "cost/seconds"},
            (node.folder / "value.json").read_text(),
        )
        for node in nodes
        for record in [stages.read_record(node.folder)]
    }


def test_a_run_ends_in_records_and_a_second_one_does_nothing(demo, capsys):
    nodes = run(plain(demo))
    assert all(n.finished for n in nodes)
    for node in nodes:
        record = stages.read_record(node.folder)
        assert (record.label, record.notebook, record.identity) == (
            node.label,
            node.notebook.name,
            node.identity,
        )
        assert record.params == node.params
        assert record.inputs == {name: n.identity for name, n in node.inputs.items()}
    copies = [n.folder / "notebook.ipynb" for n in nodes]
    assert all(json.loads(c.read_text())["cells"][-1]["execution_count"] for c in copies)
    assert str(demo.parents[1]) not in "".join(
        json.dumps(json.loads(c.read_text())["metadata"]) for c in copies
    )
    assert not list((demo.parents[1] / "results" / "plain").glob(".*.ipynb"))

    before = {p: p.stat().st_mtime_ns for p in (demo.parents[1] / "results").rglob("*")}
    capsys.readouterr()
    run(demo)
    assert {p: p.stat().st_mtime_ns for p in (demo.parents[1] / "results").rglob("*")} == before
    assert capsys.readouterr().out.strip() == "6 stages · 6 finished"


def test_a_failure_says_where_and_what_to_do_and_stops_only_what_reads_it(demo):
    text = """
    run: a
    methods:
      good: {iterations: 1}
      bad: {iterations: 1, train: {trouble: raise}}
    """
    params = write_params(demo.parents[1], text)
    with pytest.raises(StageFailed) as error:
        run(params)
    nodes = plan_run(params)
    serves = methods_by_stage(n.inputs for n in nodes)
    assert {(n.label, *serves[n]) for n in nodes if not n.finished} == {
        ("train.1", "bad"),
        ("evaluate.1", "bad"),
        ("evaluate.test", "bad"),
        ("report",),
    }
    (failed,) = [n for n in nodes if n.label == "train.1" and not n.finished]
    copy = stages.partial_folder(failed.folder) / "notebook.ipynb"
    message = str(error.value)
    assert """a: train.1 (04_train): cell [4], line 4 `raise ValueError("the first line""" in message
    assert "ValueError: the first line\n    line 0" in message and "line 9" not in message
    assert f"executed copy: {copy}" in message and "the first line" in copy.read_text()
    assert "go on (3 more wait for it) with: eef run it" in message


@pytest.mark.parametrize(
    ("trouble", "says"),
    [("die", "its kernel died"), ("leave open", r"ran to its end, but .*expert-\w{8} is not there")],
)
def test_a_stage_that_dies_or_stays_open_is_a_failure(demo, trouble, says):
    with pytest.raises(StageFailed, match=says):
        run(plain(demo, trouble=trouble))


def test_a_results_folder_that_cannot_be_written(demo, monkeypatch):
    (demo.parents[1] / "file").write_text("")
    monkeypatch.setenv("EEF_RESULTS", "file")
    with pytest.raises(StoreError, match=r"can't work in: .*; a file stands where a folder should be"):
        run(plain(demo))


def test_a_wrong_value_is_refused_before_anything_starts(demo):
    with pytest.raises(ParamsError, match=r"stages.expert.pause: must be float, got str 'x'"):
        run(plain(demo, pause="x"))
    assert not (demo.parents[1] / "results").exists()


def test_no_thread_moves_the_others_to_another_folder(demo, monkeypatch):
    moves: list[str] = []
    with monkeypatch.context() as patch:  # the demo's own move is undone after
        patch.setattr(os, "chdir", moves.append)
        run(plain(demo))
    assert moves == []


def test_stages_that_do_not_read_each_other_run_side_by_side(demo):
    text = "run: a\nstages: {train: {pause: 1.0}}\nmethods:\n  x: {iterations: 1}\n  y: {iterations: 1, train: {epochs: 2}}"
    nodes = plan_run(write_params(demo.parents[1], text))
    trained = [n for n in nodes if n.label == "train.1"]
    runner.run(upstream(trained), resume="", jobs=2)
    first, second = (stages.read_record(n.folder) for n in trained)
    assert first.started < second.finished and second.started < first.finished


# ---------------------------------------------------------------------------------- opened by hand


def scope(demo: Path, name: str, **changed: object) -> dict[str, object]:
    """The globals of a notebook whose parameters cell was run."""
    from eefcore.runs.notebook import read_notebook

    parameters = read_notebook(demo.parents[1] / "notebooks" / f"{name}.ipynb").parameters
    return {p.name: p.default for p in parameters.values()} | changed


def test_by_hand_a_notebook_reads_the_smoke_run_and_makes_what_is_missing(demo, capsys):
    write_params(demo.parents[1], "run: smoke\nmethods: {EEF: {iterations: 2}}", "smoke")
    inputs = make_smoke_inputs("05_explore")
    assert (
        "05_explore reads what 3 stages of params/smoke.yaml make; they come first" in capsys.readouterr().out
    )
    with open_stage("05_explore", scope(demo, "05_explore", M=3, inputs=inputs)).stage as stage:
        assert (stage.run, stage.label, stage.params["M"]) == ("lab", "explore", 3)
        assert {name: path.name.partition("-")[0] for name, path in stage.inputs.items()} == {
            "model": "train.1",
            "experts": "expert",
        }
        assert all(path.is_dir() for path in stage.inputs.values())
    assert make_smoke_inputs("05_explore") == inputs
    assert capsys.readouterr().out == ""


def test_opening_a_stage_by_hand_runs_nothing(demo):
    write_params(demo.parents[1], "run: smoke\nmethods: {EEF: {iterations: 2}}", "smoke")
    with open_stage("05_explore", scope(demo, "05_explore")).stage as stage:
        assert stage.inputs == {}
        with pytest.raises(ParamsError, match="no input 'experts'"):
            stage.input("experts")
    assert not stages.run_folder("smoke").exists()


def test_a_notebook_that_the_smoke_run_does_not_have_reads_nothing(demo):
    write_params(demo.parents[1], "run: smoke\nmethods: {EEF: {iterations: 1}}", "smoke")
    write_notebook(demo.parents[1], "01_base", parameters="steps: int = 3  # of training")
    assert make_smoke_inputs("01_base") == "{}"
    with open_stage("01_base", scope(demo, "01_base")).stage as stage:
        assert (stage.label, stage.params) == ("base", {"steps": 3})


def test_variables_are_expanded_in_the_parameters_and_nowhere_else(demo, monkeypatch):
    monkeypatch.setenv("EEF_TEST_DATA", "/there")
    given = scope(demo, "02_expert", inputs="{}", label="expert", data="${EEF_TEST_DATA}/x")
    before = dict(given)
    for _ in range(2):  # a cell may be run again
        stage, p = open_stage("02_expert", given)
        stage.abandon()
        assert p.data == "/there/x"
        assert stage.params["data"] == "${EEF_TEST_DATA}/x"
    assert given == before


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"tasks": "4"}, r"02_expert: parameter tasks: must be int, got str '4' \(tasks tried\)"),
        (
            {"data": "${EEF_TEST_NOWHERE}"},
            r"parameter data: set the environment variable EEF_TEST_NOWHERE first",
        ),
    ],
)
def test_by_hand_parameters_are_checked_as_well(demo, changed, says):
    with pytest.raises(ParamsError, match=says):
        open_stage("02_expert", scope(demo, "02_expert", inputs="{}", **changed))


def test_a_parameters_cell_that_was_not_run_is_an_error(demo):
    with pytest.raises(ParamsError, match="parameter tasks is not set; run the parameters cell"):
        open_stage("02_expert", {"run": "lab", "label": "", "inputs": "{}"})


def test_a_name_that_papermill_only_warns_of_is_an_error(demo, monkeypatch):
    """Papermill runs in the folder of the notebooks, as JupyterLab does, and writes its copy anywhere."""
    monkeypatch.chdir(demo.parents[1] / "notebooks")

    def by_hand(**given: object) -> None:
        papermill.execute_notebook(
            "02_expert.ipynb",
            str(demo.parents[1] / "copy.ipynb"),
            {"inputs": "{}", **given},
            kernel_name="python3",
            progress_bar=False,
        )

    with pytest.raises(
        PapermillExecutionError, match=r"papermill was given 'task', .*; did you mean 'tasks'\?"
    ):
        by_hand(task=3)
    by_hand(tasks=3)
    (record,) = stages.finished_stages("lab")
    assert record.params["tasks"] == 3


# ---------------------------------------------------------------------------------- two runs at once


def executed(node: Node) -> dict[str, object]:
    """Return the metadata of the notebook in the folder of `node`, which must be whole and without an error."""
    content = json.loads((node.folder / stages.NOTEBOOK).read_text())
    cells = [c for c in content["cells"] if c["cell_type"] == "code"]
    assert all(c["execution_count"] for c in cells)
    assert not [o for c in cells for o in c["outputs"] if o["output_type"] == "error"]
    assert "finished already" not in json.dumps(content)
    return content["metadata"]["papermill"]


@pytest.mark.slow
def test_two_runs_of_the_same_stages_at_once_share_the_work_and_spoil_nothing(demo):
    params = plain(demo, pause=1.5, steps=10)
    nodes = plan_run(params)
    first = started(params)
    until(lambda: list(nodes[0].folder.parent.glob(".expert-*.partial/progress.json")))
    second = started(params)
    output = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], output
    assert f"elsewhere  {nodes[0].folder.name}" in output[1] and output[1].count("elsewhere  expert") == 1
    assert "finished already" not in "".join(output)
    for node in nodes:
        papermill, record = executed(node), stages.read_record(node.folder)
        began, ended = (datetime.fromisoformat(papermill[f"{when}_time"]) for when in ("start", "end"))
        assert began.replace(tzinfo=UTC) <= record.started < record.finished <= ended.replace(tzinfo=UTC)
        assert record.attempts == 1
    left = {p.name for p in nodes[0].folder.parent.glob(".*")}
    assert left == {f".{n.folder.name}.{which}" for n in nodes for which in ("lock", "run.lock")}


HOLD = """
import sys, time
from pathlib import Path
from eefcore.storage.stages import StageLock
claim = StageLock(Path(sys.argv[1]), executing=True)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_stage_that_another_run_gave_up_is_taken_over(demo, capsys):
    params = plain(demo)
    expert, *_ = plan_run(params)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, expert.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        threading.Timer(2.0, other.kill).start()
        assert all(executed(node) for node in run(params))
    output = capsys.readouterr().out
    assert output.index("elsewhere  expert") < output.index("running  expert") < output.index("done  expert")


def test_what_fails_later_does_not_replace_the_notebook_of_a_finished_stage(demo):
    expert, *_ = run(plain(demo))
    before = (expert.folder / stages.NOTEBOOK).read_bytes()
    again = replace(expert, params={**expert.params, "trouble": "raise"})
    with pytest.raises(StageFailed, match="the first line") as error:
        runner.run_again(replace(again, identity=expert.identity))
    assert (expert.folder / stages.NOTEBOOK).read_bytes() == before
    copy = Path(re.search("executed copy: (.*)", str(error.value))[1])
    assert "the first line" in copy.read_text() and copy.parent != expert.folder
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, expert.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(StageFailed, match=f"but process {other.pid} does"):
            runner.run_again(expert)
        other.kill()
    assert (expert.folder / stages.NOTEBOOK).read_bytes() == before


def test_the_notebook_of_a_failed_attempt_is_not_that_of_the_stage_finished_by_hand(demo):
    stage, _ = open_stage("02_expert", scope(demo, "02_expert", inputs="{}", label="expert"))
    (stage.folder / stages.NOTEBOOK).write_text("failed")
    stage.finish()
    assert not (stage.folder / stages.NOTEBOOK).exists()
    with (
        pytest.raises(StageBusy),
        subprocess.Popen(
            [sys.executable, "-c", HOLD, stage.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
    ):
        other.stdout.readline()
        try:
            stages.StageLock(stage.folder, executing=True)
        finally:
            other.kill()


# ---------------------------------------------------------------------------------- killed


def kernels(folder: Path) -> list[int]:
    """Our kernels that work in `folder`; a dead one that nobody has waited for is none."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        info = process.info
        if "eefcore.runs.kernels" in (info["cmdline"] or ()) and (info["cwd"] or "").startswith(str(folder)):
            found += [process.pid] if info["status"] != psutil.STATUS_ZOMBIE else []
    return found


def started(params: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [EEF, "run", params, "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a shell's background job ignores it
    )


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for `condition`, and fail if it never comes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_an_interrupted_run_says_how_to_go_on_and_leaves_no_kernel(demo):
    params = plain(demo, pause=30.0)
    process = started(params)
    until(lambda: list((demo.parents[1] / "results" / "plain").glob(".expert-*.partial/progress.json")))
    assert kernels(demo.parents[1])
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"go on with: eef run {params}" in output
    assert kernels(demo.parents[1]) == []


def killed_at(moment: float, params: Path) -> bool:
    """Whether the run ended by itself before it was killed after `moment` seconds."""
    process = started(params)
    try:
        output, _ = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        until(
            lambda: not kernels(params.parents[1]), seconds=0.5
        )  # at once, and not after ipykernel's second
        return False
    assert process.returncode == 0, output
    return True


@pytest.mark.slow
def test_a_killed_run_leaves_no_kernel_and_continues(demo, monkeypatch):
    params = plain(demo, pause=0.2, steps=10)
    assert not killed_at(2.5, params)
    assert killed_at(60.0, params)
    interrupted = facts(plan_run(params))
    monkeypatch.setenv("EEF_RESULTS", "other")
    assert facts(run(params)) == interrupted


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_again_and_again_ends_in_the_same_records(demo, seed, monkeypatch):
    text = (
        "run: killed\nshared: {pause: 0.2, steps: 5}\nmethods: {SFT: {iterations: 1}, EEF: {iterations: 2}}"
    )
    params = write_params(demo.parents[1], text)
    rng, kills = random.Random(seed), 0
    while not killed_at(rng.uniform(0.5, 6.0) if kills < 8 else 120.0, params):
        kills += 1
    assert kills >= 5
    interrupted = facts(plan_run(params))
    assert not list((demo.parents[1] / "results" / "killed").glob(".*.partial"))
    monkeypatch.setenv("EEF_RESULTS", "other")
    assert facts(run(params)) == interrupted
