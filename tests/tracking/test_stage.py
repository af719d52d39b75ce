import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from eefcore.errors import ParamsError, StoreError, TrackingError
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.storage.metrics_log import Point, merge_attempts
from eefcore.tracking import stage as tracking
from eefcore.tracking import wandb_run
from eefcore.tracking.stage import Stage, commit
from eefcore.tracking.wandb_run import sync
from eefcore.types import Card, State

CARD = Card("shop", {"products": 3})


def logged(folder: Path) -> list[dict]:
    """What the finished stage of `folder` logged, in order; `step` is None for a value of the whole stage."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """A results folder of our own, no W&B, no key."""
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    yield tmp_path / "results"
    for stage in list(tracking._open.values()):
        stage.abandon()


def opened(label="explore#1", inputs=None, **params):
    return Stage.open(
        run="smoke", label=label, notebook="05_explore", params={"M": 1, **params}, inputs=inputs or {}
    )


def work(items):
    return [State(str(i)) for i in items]


def never(items):
    raise AssertionError(f"{items} were done before")


# -------------------------------------------------------------------------------- from open to finish


def test_a_stage_leaves_its_files_and_its_record(root):
    experts = opened("expert")
    experts.finish()
    stage = opened(inputs={"experts": experts.folder})
    assert stage.folder.name.startswith(".") and not stages.is_finished(
        stages.stage_folder("smoke", "x", "y")
    )
    assert stage.input("experts") == experts.folder
    stage.log({"explore/win_rate": 0.25, "explore/n": 8})
    stage.table("cases", ["task", "reward"], [["t, 1", 1.0], ["t2", 0]])
    stage.text("dialogue", "«click[Buy Now]»")
    stage.cost(Cost(episodes=2, seconds=1e6))
    stage.cost(Cost(episodes=1))
    stage.card(CARD)
    record = stage.finish()

    assert stage.folder == root / "smoke" / f"explore#1-{record.identity[:8]}"
    assert stages.read_record(stage.folder) == record == stage.finish()
    assert [r.label for r in stages.finished_stages("smoke")] == ["expert", "explore#1"]
    assert (record.notebook, record.params, record.card) == ("05_explore", {"M": 1}, CARD)
    assert record.inputs == {"experts": stages.read_record(experts.folder).identity}
    assert record.cost.episodes == 3 and record.cost.seconds == record.seconds < 60
    assert record.metrics["explore/win_rate"] == 0.25 and record.metrics["cost/episodes"] == 3
    assert record.packages["torch"] == version("torch") and record.packages["python"] in sys.version
    assert record.attempts == 1 and record.started <= record.finished
    assert (stage.folder / "tables/cases.csv").read_text() == 'task,reward\n"t, 1",1.0\nt2,0\n'
    assert (stage.folder / "texts/dialogue.txt").read_text() == "«click[Buy Now]»"
    assert sorted(p.name for p in stage.folder.iterdir()) == [
        "metrics.jsonl",
        "stage.json",
        "tables",
        "texts",
    ]


def test_a_figure_is_kept_as_picture_and_as_drawing():
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([0, 1], [0, 1])
    with opened() as stage:
        stage.figure("curve", figure)
    assert (stage.folder / "figures/curve.png").read_bytes().startswith(b"\x89PNG")
    assert b"</svg>" in (stage.folder / "figures/curve.svg").read_bytes()
    assert not (stage.folder / "figures/curve.csv").exists()  # what it draws is not known


def test_a_plot_is_kept_with_the_numbers_it_draws():
    from eefcore.figures.evaluation import losses

    with opened() as stage:
        stage.figure("loss", losses([2.0, 1.0]))
    assert (stage.folder / "figures/loss.csv").read_text() == "step,loss\n0,2.0\n1,1.0\n"


def test_no_record_holds_a_path_of_this_machine(root):
    with opened() as stage:
        stage.log({"explore/n": 1})
        stage.journal("simulations", type=State).run([1], 1, work)
    texts = [p.read_text() for p in stage.folder.rglob("*") if p.is_file()]
    assert len(texts) == 3
    assert not [t for t in texts if str(root) in t or str(Path.home()) in t]


def test_the_last_value_of_a_curve_is_its_metric():
    with opened() as stage:
        for step, loss in enumerate((2.0, 1.0, 0.5)):
            stage.log({"train/loss": loss}, step=step)
        stage.log({"train/rows": 7})
    assert stages.read_record(stage.folder).metrics["train/loss"] == 0.5
    lines = logged(stage.folder)
    assert [(p["step"], p["train/loss"]) for p in lines if "train/loss" in p] == [
        (0, 2.0),
        (1, 1.0),
        (2, 0.5),
    ]


@pytest.mark.parametrize(
    ("value",             "kept"),
    [
        (1,               1),
        (True,            True),
        ("tiny",          "tiny"),
        (None,            None),
        (np.int64(3),     3),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (float("nan"),    None),
        (float("inf"),    None),
        (np.float32("nan"), None),
    ],
)  # fmt: skip
def test_numbers_are_kept_as_json_knows_them(value, kept):
    with opened() as stage:
        stage.log({"explore/n": value})
    got = stages.read_record(stage.folder).metrics["explore/n"]
    assert got == kept and type(got) is type(kept)


@pytest.mark.parametrize("value", [[1], {"a": 1}, np.zeros(2), 1j])
def test_a_logged_value_that_is_no_number_is_refused(value):
    stage = opened()
    with pytest.raises(TypeError, match="explore/n: expected a number"):
        stage.log({"explore/n": value})


@pytest.mark.parametrize(
    "value", ["/data/shop", "~/shop", "C:\\shop", "file:///shop", ["ok", {"deep": "/data"}]]
)
def test_an_absolute_path_is_no_parameter(value):
    with pytest.raises(ParamsError, match="'data' is an absolute path"):
        opened(data=value)


def test_a_secret_is_no_parameter(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789")
    with pytest.raises(ParamsError, match="'endpoint' holds a secret") as refused:
        opened(endpoint="https://user:sk-0123456789@host")
    assert "sk-0" not in str(refused.value)


def test_an_unknown_input_names_the_known():
    with pytest.raises(ParamsError, match="no input 'model'; it was opened with none"):
        opened().input("model")


# -------------------------------------------------------------------------------- taken up again


def test_an_error_leaves_the_stage_for_the_next_attempt():
    with pytest.raises(ZeroDivisionError), opened() as stage:
        stage.journal("simulations", type=State).run(range(4), 2, work)
        stage.log({"explore/stale": 1})
        stage.log({"train/loss": 3.0}, step=0)
        stage.log({"train/loss": 2.0}, step=1)
        time.sleep(0.05)
        raise ZeroDivisionError
    assert stages.finished_stages("smoke") == [] and stage.folder.is_dir()
    with opened() as again:
        assert again.journal("simulations", type=State).run(range(4), 2, never) == work(range(4))
        again.log({"train/loss": 1.0}, step=1)
        again.log({"train/loss": 0.5}, step=2)
    record = stages.read_record(again.folder)
    assert record.attempts == 2 and record.seconds > 0.05
    assert record.started < record.finished
    assert "explore/stale" not in record.metrics
    losses = [(p["step"], p["train/loss"]) for p in logged(again.folder) if "train/loss" in p]
    assert losses == [(0, 3.0), (1, 1.0), (2, 0.5)]


def test_the_opening_cell_may_run_twice():
    first = opened()
    first.log({"explore/n": 1})
    second = opened()
    with pytest.raises(StoreError, match="has ended; run the cell that opens it again"):
        first.log({"explore/n": 2})
    with pytest.raises(StoreError, match="has ended"):
        first.finish()
    second.log({"explore/n": 3})
    assert second.finish().metrics["explore/n"] == 3
    with pytest.raises(StoreError, match="has ended"):
        second.log({"explore/n": 4})


def test_a_finished_stage_is_shown_again_and_stays_as_it_is():
    with opened() as stage:
        stage.journal("simulations", type=State).run(range(3), 2, work)
        stage.log({"explore/n": 3})
    before = {p: p.read_bytes() for p in stage.folder.rglob("*")}
    with pytest.warns(UserWarning, match="explore#1 is finished already"):
        again = opened()
    assert again.folder != stage.folder
    assert again.journal("simulations", type=State).run(range(3), 2, never) == work(range(3))
    again.log({"explore/n": 99})
    assert again.finish() == stages.read_record(stage.folder)
    assert again.folder == stage.folder
    assert {p: p.read_bytes() for p in stage.folder.rglob("*")} == before
    assert not stages.partial_folder(stage.folder).exists()


def test_other_parameters_are_another_stage():
    folders = {s.folder for s in (opened(), opened(seed=1), opened("explore#2"))}
    assert len(folders) == 3


def test_progress_is_seen_from_outside(capsys):
    stage = opened()
    assert stages.read_progress(stages.stage_folder("smoke", "explore#1", stage.identity)) is None
    with stage.progress(4, "simulations") as bar:
        stage.journal("simulations", type=State).run(range(2), 2, work, on_resume=bar)
        bar(3)
        bar()
    seen = stages.read_progress(stages.stage_folder("smoke", "explore#1", stage.identity))
    assert (seen.what, seen.done, seen.total) == ("simulations", 4, 4)
    assert "simulations: 100%" in capsys.readouterr().err
    stage.finish()
    assert not (stage.folder / "progress.json").exists()


def test_a_bar_grows_with_what_turns_out_to_be_more_work(capsys):
    stage = opened()
    with stage.progress(0, "episodes") as bar:
        for n in (3, 2):
            bar.more(n)
            bar(n)
    seen = stages.read_progress(stages.stage_folder("smoke", "explore#1", stage.identity))
    assert (seen.done, seen.total) == (5, 5)
    assert "5/5" in capsys.readouterr().err
    stage.abandon()


def test_a_bar_of_work_that_goes_on_begins_where_the_attempt_before_it_ended():
    stage = opened()
    with stage.progress(9, "optimiser steps") as bar:
        bar.at(6)
        bar.at(9)
    seen = stages.read_progress(stages.stage_folder("smoke", "explore#1", stage.identity))
    assert (seen.done, seen.total) == (9, 9)
    stage.abandon()


LOSS, RATE = "train/loss", "explore/win_rate"


@pytest.mark.parametrize(
    ("points", "kept"),
    [
        ([], []),
        ([(1, 0, LOSS)], [0]),
        ([(1, 0, LOSS), (1, 1, LOSS)], [0, 1]),
        ([(1, 0, LOSS), (1, 0, LOSS)], [1]),
        ([(1, 0, LOSS), (1, 0, RATE)], [0, 1]),
        ([(1, None, RATE), (2, None, LOSS)], [1]),
        ([(1, None, RATE), (1, None, RATE)], [1]),
        ([(1, 0, LOSS), (1, 1, LOSS), (2, 1, LOSS), (2, 2, LOSS)], [0, 2, 3]),
        ([(1, 0, LOSS), (1, None, RATE), (2, 1, LOSS), (2, None, RATE)], [0, 2, 3]),
    ],
)
def test_attempts_are_merged_as_if_there_had_been_one(points, kept):
    made = [Point(attempt, step, {key: i}) for i, (attempt, step, key) in enumerate(points)]
    assert merge_attempts(made) == [made[i] for i in kept]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("where", ["write_record", "publish", "sync_folder"])
def test_a_stage_killed_while_it_finishes_loses_nothing(monkeypatch, where):
    def killed(*_):
        raise Killed

    with pytest.raises(Killed), opened() as stage, monkeypatch.context() as patch:
        stage.journal("simulations", type=State).run(range(4), 2, work)
        stage.log({"train/loss": 1.0}, step=0)
        patch.setattr(stages, where, killed)
        stage.finish()
    recorded = where != "write_record"
    with pytest.warns(UserWarning, match="finished already") if recorded else nullcontext():
        again = opened()
    assert again.journal("simulations", type=State).run(range(4), 2, never) == work(range(4))
    record = again.finish()
    assert record.attempts == (1 if recorded else 2) and record.metrics["train/loss"] == 1.0
    assert [p.name for p in again.folder.parent.iterdir() if p.name.endswith(".partial")] == []
    names = ["metrics.jsonl", "simulations.journal.jsonl", "stage.json"]
    assert sorted(p.name for p in again.folder.iterdir()) == names


WORKER = """
import sys, time
from eefcore.tracking.stage import Stage
from eefcore.types import State

def work(items):
    time.sleep(0.004)
    return [State(str(i)) for i in items]

def opened(seed):
    return Stage.open(run="smoke", label="explore#1", notebook="05_explore", params={"seed": seed}, inputs={})

print("ready", flush=True)
with opened(int(sys.argv[1])) as stage:
    states = stage.journal("simulations", type=State).run(list(range(60)), 4, work)
    for step in range(20):
        stage.log({"train/loss": 1 / (step + 1)}, step=step)
    stage.table("states", ["task"], [[s.task_id] for s in states])
    stage.log({"explore/n": len(states)})
"""


def worker(seed, **env):
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(seed)], stdout=subprocess.PIPE, env={**os.environ, **env}
    )
    assert process.stdout.readline() == b"ready\n"
    return process


def content(folder):
    """All that a stage left, but for how long it took and when."""
    record = json.loads((folder / "stage.json").read_text())
    record = {k: v for k, v in record.items() if k in ("label", "params", "card", "inputs")}
    metrics = [{k: v for k, v in p.items() if k != "cost/seconds"} for p in logged(folder)]
    rest = {
        p.relative_to(folder): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in ("stage.json", "metrics.jsonl")
    }
    return record, metrics, rest


@pytest.mark.slow
def test_a_stage_killed_again_and_again_ends_with_the_same_records(root):
    rng, kills, seed = random.Random(0), 0, 0
    while kills < 20:
        done, before = False, kills
        while not done:
            process = worker(seed)
            if kills < 20:
                time.sleep(rng.uniform(0, 0.09))
                process.send_signal(signal.SIGKILL)
            done = process.wait() == 0
            process.stdout.close()
            kills += not done
        (record,) = [r for r in stages.finished_stages("smoke") if r.params["seed"] == seed]
        killed = content(stages.stage_folder("smoke", record.label, record.identity))
        assert record.attempts <= kills - before + 1
        shutil.rmtree(root)
        with worker(seed) as process:
            assert process.wait() == 0
        assert killed == content(stages.stage_folder("smoke", record.label, record.identity))
        shutil.rmtree(root)
        seed += 1


def test_two_processes_on_one_stage_is_an_error(root):
    process = worker(0)
    while not any(lock.read_text() for lock in root.glob("smoke/.*.lock")):
        time.sleep(0.001)
    with process, pytest.raises(StoreError, match=f"but process {process.pid} does"):
        Stage.open(run="smoke", label="explore#1", notebook="05_explore", params={"seed": 0}, inputs={})
    assert process.returncode == 0


# -------------------------------------------------------------------------------- W&B


def read_wandb_run(folder):
    """What W&B has of an offline W&B run, by kind of record."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    return {kind: [r[kind] for r in records if r["type"] == kind] for kind in {r["type"] for r in records}}


def history(folder):
    return [item for line in read_wandb_run(folder).get("history", []) for item in [line["item"]]]


def test_offline_each_attempt_is_a_run_and_nothing_is_lost_or_doubled(root, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    stage = opened()
    stage.log({"train/loss": 3.0}, step=0)
    stage.log({"train/loss": 2.5}, step=1)
    stage.abandon()
    with opened() as stage:
        stage.log({"train/loss": 2.0}, step=1)
        stage.table("cases", ["task", "reward"], [["t1", 1.0], ["t2", CARD]])
        stage.text("dialogue", "a < b")
        stage.card(CARD)
    report = sync(["smoke"], dry_run=True)
    ((done,), (first,)) = report.uploaded, report.incomplete
    assert sorted([done, first]) == sorted(f"smoke/wandb/{p.name}" for p in (root / "smoke/wandb").iterdir())

    losses = [(p["step"], p["train/loss"]) for p in history(root / done) if "train/loss" in p]
    assert sorted(losses) == [(0, 3.0), (1, 2.0)]
    records = read_wandb_run(root / done)
    (run,) = records["run"]
    assert (run["run_group"], run["job_type"], run["display_name"]) == ("smoke", "05_explore", "explore#1")
    assert run["config"]["update"]["M"] == 1 and run["config"]["update"]["identity"] == stage.identity
    assert not {"host", "git", "entity"} & set(run)
    text = json.dumps({kind: what for kind, what in records.items() if kind != "artifact"})
    assert str(root) not in text and sys.executable not in text
    # as a word of its own: a short host name is in many a random id
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)
    artifact = next(a for a in records["artifact"] if a["type"] == "05_explore")
    assert artifact["name"] == f"explore-1-{stage.identity[:8]}"
    assert {f["path"] for f in artifact["manifest"]["contents"]} == {"metrics.jsonl", "stage.json"}
    assert json.loads(artifact["metadata"])["card"] == CARD.key
    assert [p.name for p in (root / done).rglob("cases*")] and [
        p.name for p in (root / done).rglob("dialogue*")
    ]


ONE = """
from eefcore.tracking.stage import Stage
with Stage.open(run="smoke", label="expert", notebook="02_expert", params={}, inputs={}) as stage:
    stage.log({"expert/n": 1})
"""


def alone(script, tmp_path, **env):
    """The script in a process and a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    ours = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_") or k == "WANDB_MODE"}
    env = {**ours, "HOME": str(home), **env}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env)
    ours_alone = home / ".cache"  # where the package keeps what it can make again
    return done, [
        p for p in home.rglob("*") if p != ours_alone and ours_alone / "eefcore" not in (p, *p.parents)
    ]


def test_wandb_without_a_key_is_offline_and_quiet_and_leaves_the_home_folder_alone(root, tmp_path):
    done, left = alone(ONE, tmp_path, WANDB_MODE="")
    assert (done.returncode, done.stdout, done.stderr, left) == (0, "", "", [])
    assert len(sync(["smoke"], dry_run=True).uploaded) == 1


def test_a_key_without_a_network_costs_no_stage_a_wait(root, tmp_path):
    """At an address that nobody listens at W&B is not started online, where it would wait for half a minute."""
    done, _ = alone(
        ONE,
        tmp_path,
        WANDB_MODE="",
        WANDB_API_KEY="k" * 40,
        WANDB_BASE_URL="http://127.0.0.1:9",
        HTTPS_PROXY="",
    )
    assert done.returncode == 0, done.stderr
    assert (
        done.stderr.count("W&B at 127.0.0.1:9 can't be reached (") == 1 and "can't start" not in done.stderr
    )
    assert "recorded offline, `eef sync` uploads" in done.stderr
    assert len(sync(["smoke"], dry_run=True).uploaded) == 1


def test_a_proxy_is_left_to_wandb(monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert "refused" in wandb_run.unreachable()
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:nine")
    assert "W&B at 127.0.0.1:nine can't be reached" in wandb_run.unreachable()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:8")
    assert wandb_run.unreachable() == ""
    with socket.create_server(("127.0.0.1", 0)) as there:
        monkeypatch.delenv("http_proxy")
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{there.getsockname()[1]}")
        assert wandb_run.unreachable() == ""


def test_wandb_is_not_loaded_when_disabled(tmp_path):
    done, left = alone(ONE + "import sys; print('wandb' in sys.modules)", tmp_path)
    assert (done.returncode, done.stdout, left) == (0, "False\n", [])


DEATH = """
import os, signal
from pathlib import Path
from eefcore.tracking.stage import Stage

def core(process):
    try:
        program, *arguments = (process / "cmdline").read_text().split(chr(0))
    except OSError:
        return False
    return program.endswith("wandb-core") and str(os.getpid()) in arguments

with Stage.open(run="smoke", label="expert", notebook="02_expert", params={}, inputs={}) as stage:
    os.kill(next(int(p.name) for p in Path("/proc").glob("[0-9]*") if core(p)), signal.SIGKILL)
    stage.log({"expert/n": 1})
    stage.log({"expert/win_rate": 0.5})
    stage.text("one", "two")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="finds W&B's process in /proc")
def test_a_stage_goes_on_when_the_process_of_wandb_dies(tmp_path):
    done, _ = alone(DEATH, tmp_path, WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("UserWarning: W&B can't") == 1
    (record,) = stages.finished_stages("smoke")
    assert record.metrics["expert/win_rate"] == 0.5
    assert sync(["smoke"], dry_run=True).uploaded == []


def test_a_stage_goes_on_when_wandb_can_not_start(root, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")

    def refuse(*_, **__):
        import wandb

        raise wandb.errors.CommError("no")

    monkeypatch.setattr("wandb.init", refuse)
    with pytest.warns(UserWarning, match="W&B can't start.*going on without it"), opened() as stage:
        stage.log({"explore/n": 1})
    assert stages.read_record(stage.folder).metrics["explore/n"] == 1


def test_errors_of_the_library_are_not_hidden_behind_those_of_wandb(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")

    def broken(*_, **__):
        raise KeyError("ours")

    monkeypatch.setattr("wandb.init", broken)
    with pytest.raises(KeyError):
        opened()


@pytest.mark.parametrize(
    ("mode",    "key", "netrc", "chosen"),
    [
        ("",        "",   "",                                      "offline"),
        ("",        "k",  "",                                      "online"),
        ("",        "",   "machine api.wandb.ai login user password k",  "online"),
        ("",        "",   "machine other.host login user password k",    "offline"),
        ("",        "",   "this is no netrc",                      "offline"),
        ("offline", "k",  "",                                      "offline"),
        ("disabled", "k", "",                                      "disabled"),
        ("online",  "",   "",                                      "online"),
    ],
)  # fmt: skip
def test_the_mode_follows_the_environment_then_the_key(tmp_path, monkeypatch, mode, key, netrc, chosen):
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_API_KEY", key)
    (tmp_path / "netrc").write_text(netrc)
    assert wandb_run.mode() == chosen


def offline(root, name, *, complete=True):
    folder = root / "smoke/wandb" / f"offline-run-{name}"
    folder.mkdir(parents=True)
    (folder / f"run-{name}.wandb").touch()
    if complete:
        (folder / wandb_run.COMPLETE).touch()
    return f"smoke/wandb/offline-run-{name}"


def test_sync_uploads_what_is_complete_and_once(root, monkeypatch):
    a, b = offline(root, "a"), offline(root, "b")
    killed = offline(root, "c", complete=False)
    uploaded = []

    def wandb_sync(command, **_):
        folder = Path(command[-1])
        uploaded.append(folder.name)
        if len(uploaded) != 2:  # the second upload fails; W&B exits with 0 all the same
            next(folder.glob("run-*.wandb")).with_suffix(".wandb.synced").touch()

    monkeypatch.setattr(wandb_run.subprocess, "run", wandb_sync)
    with pytest.raises(TrackingError, match=r"expected a W&B key.*wandb login"):
        sync(["smoke"])
    assert sync(["smoke"], dry_run=True) == ([a, b], [], [killed], []) and uploaded == []
    monkeypatch.setenv("WANDB_API_KEY", "k")
    assert sync(["smoke"]) == ([a], [], [killed], [b])
    assert sync(["smoke"]) == ([b], [a], [killed], [])
    assert sync(["smoke"]) == ([], [a, b], [killed], [])
    with pytest.raises(StoreError, match="never: no such run"):
        sync(["smoke", "never"])
    assert uploaded == ["offline-run-a", "offline-run-b", "offline-run-b"]


def test_a_record_names_the_commit_of_the_workspace_and_whether_files_differ(tmp_path, monkeypatch):
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path) == ""
    git("init")
    (tmp_path / "a.yaml").write_text("run: a")
    git("add", ".")
    git("commit", "-m", "a")
    clean = commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "a.yaml").write_text("run: b")
    assert commit(tmp_path) == f"{clean}+"
