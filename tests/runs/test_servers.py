"""A run starts a vLLM server when a stage first asks, keeps it for those that follow, and leaves none behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import psutil
import pytest
from helpers.paths import ROOT, TESTS
from helpers.stand_in_vllm import STARTS
from helpers.workspaces import FINISH, KNOBS, OPEN, PLAY, WORK, write_notebook, write_params

from eefcore.errors import PolicyError
from eefcore.policies import settings
from eefcore.policies.openai.lease import KEY, Lease, ServerRequest, lease_server
from eefcore.policies.vllm_arguments import EngineModel, Room
from eefcore.runs import runner, servers
from eefcore.runs.plan import Node
from eefcore.runs.planning import plan_run
from eefcore.runs.servers import RunServers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="vLLM's server is run on Linux")

STAND_IN = TESTS / "helpers" / "stand_in_vllm.py"
PLAYS: Any = SimpleNamespace(params={"engine": "vllm_server"})
ROOM = Room(slots=8, context=512, adapter_rank=16)


def command(request: ServerRequest, port: int) -> list[str]:
    return [sys.executable, str(STAND_IN), *request.flags, "--port", str(port)]


def asked(model: str = "a", room: Room = ROOM, **options: Any) -> ServerRequest:
    given = {"longest": 2048, "dtype": "float32", "block_size": 32, "tensor_parallel": 1, "eager": True}
    folder = f"/models/{model}"
    return ServerRequest(EngineModel(folder=folder, tokenizer=folder, **given | options), room, model, 0.9)


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


class Starts:
    """What was started so far."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __len__(self) -> int:
        return len(self.records)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    @property
    def pids(self) -> list[int]:
        return [record["pid"] for record in self.records]

    def flag(self, name: str) -> list[str]:
        """The value of a flag in each command line."""
        lines = [record["arguments"] for record in self.records]
        return [line[line.index(name) + 1] for line in lines]


@pytest.fixture
def starts(tmp_path, monkeypatch) -> Starts:
    monkeypatch.setenv(STARTS, str(tmp_path / "starts.jsonl"))
    return Starts(tmp_path / "starts.jsonl")


@pytest.fixture
def run(starts, monkeypatch) -> Iterator[RunServers]:
    """The servers of a run, at which this process asks as a kernel does."""
    monkeypatch.setattr(settings, "find_spec", lambda name: object())
    with RunServers([PLAYS], command) as run:
        for name, value in run.environment.items():
            monkeypatch.setenv(name, value)
        yield run
    assert all(map(gone, starts.pids))


def test_stages_that_follow_each_other_share_a_server(run, starts):
    urls = []
    for rank in (16, 8, 16):
        lease = lease_server(asked(room=msgspec.structs.replace(ROOM, adapter_rank=rank)))
        urls.append(lease.url)
        lease.check()
        lease.close()
    assert len(set(urls)) == 1 and len(starts) == 1


def test_stages_side_by_side_share_a_server_and_wait_for_it_together(run, starts):
    leases: list[Lease] = []
    threads = [Thread(target=lambda: leases.append(lease_server(asked()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({lease.url for lease in leases}) == 1 and len(starts) == 1


def test_another_model_takes_the_place_of_one_that_no_stage_plays(run, starts):
    lease_server(asked("a")).close()
    with_critic = [lease_server(asked("b")), lease_server(asked("critic"))]
    assert starts.flag("--served-model-name") == ["a", "b", "critic"]
    assert [gone(pid) for pid in starts.pids] == [True, False, False]
    for lease in with_critic:
        lease.close()
    again = [lease_server(asked("b")), lease_server(asked("critic"))]
    assert [lease.url for lease in again] == [lease.url for lease in with_critic] and len(starts) == 3


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"block_size": 16}, {"tensor_parallel": 2}])
def test_what_changes_an_answer_asks_for_another_server(run, starts, change):
    lease_server(asked()).close()
    lease_server(asked(**change)).close()
    assert len(starts) == 2


def test_a_server_with_too_little_room_is_followed_by_one_with_room_for_all(run, starts):
    for room in (Room(4, 512, 0), Room(2, 256, 64), Room(4, 512, 64), Room(1, None, 8), Room(8, 9999, 0)):
        lease_server(asked(room=room)).close()
    assert starts.flag("--max-num-seqs") == ["4", "4", "4", "8"]
    assert [("--max-lora-rank" in r["arguments"]) for r in starts.records] == [False, True, True, True]
    assert [("--max-model-len" in r["arguments"]) for r in starts.records] == [True, True, False, False]


def test_a_server_that_can_not_start_is_explained_and_the_next_stage_tries_anew(run, starts):
    for _ in range(2):
        with pytest.raises(
            PolicyError, match=r"server of broken ended before it was ready \(code 1\)"
        ) as error:
            lease_server(asked("broken"))
        assert "ValueError: these weights can't be read" in str(error.value)
    assert len(starts) == 2


def test_a_server_that_is_never_ready_is_given_up(run, starts, monkeypatch):
    monkeypatch.setattr(servers, "START_SECONDS", 1.0)
    with pytest.raises(PolicyError, match="server of sleepy was not ready after 1 seconds"):
        lease_server(asked("sleepy"))
    until(lambda: not run._servers)


def test_a_server_that_dies_while_it_is_used_is_noticed(run, starts):
    lease = lease_server(asked())
    lease.check()
    with pytest.raises(httpx.TransportError):
        httpx.get(lease.url.removesuffix("/v1") + "/die")
    until(lambda: not run._servers)
    with pytest.raises(PolicyError, match="ended while it was used") as error:
        lease.check()
    assert re.search(
        r"\(code 7\):\n    RuntimeError: no memory is left\n    and a last line;", str(error.value)
    )
    lease_server(asked()).check()
    assert len(starts) == 2


def test_a_stage_that_is_killed_gives_its_server_back(run, starts):
    code = f"""
import sys, time
sys.path[:0] = [{str(TESTS)!r}, {str(TESTS / "runs")!r}]
from test_servers import asked
from eefcore.policies.openai.lease import lease_server
lease = lease_server(asked("a"))
print("has it", flush=True)
time.sleep(600)
"""
    stage = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert stage.stdout and stage.stdout.readline() == b"has it\n"
    run.stop_idle()
    assert [gone(pid) for pid in starts.pids] == [False]
    stage.kill()
    stage.wait()
    stage.stdout.close()
    run.stop_idle()
    assert [gone(pid) for pid in starts.pids] == [True]


def test_a_server_answers_those_alone_who_have_the_key(run):
    lease, key = lease_server(asked()), os.environ[KEY]
    models = lease.url + "/models"
    assert httpx.get(models).status_code == 401
    assert httpx.get(models, headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert not any(key in word for server in run._servers for word in server.process.args)


def test_without_a_stage_that_asks_nothing_is_started(monkeypatch):
    monkeypatch.setattr(settings, "find_spec", lambda name: object())
    nodes: Any = [SimpleNamespace(params=params) for params in ({}, {"engine": "hf"}, {"engine": "vllm"})]
    with RunServers(nodes, command) as none:
        assert none.environment == {}
        none.stop_idle()


def test_a_notebook_that_is_opened_by_hand_says_how_to_start_a_server(monkeypatch):
    monkeypatch.delenv(servers.SOCKET, raising=False)
    with pytest.raises(PolicyError) as error:
        lease_server(asked())
    for words in (
        "opened by hand",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 python -m vllm.entrypoints.openai.api_server --model /models/a",
        "--max-lora-rank 16",
        "openai:http://localhost:8000/v1?dtype=float32",
    ):
        assert words in str(error.value)


def test_a_run_that_is_gone_is_a_clear_error(monkeypatch, tmp_path):
    monkeypatch.setenv(servers.SOCKET, str(tmp_path / "nobody"))
    with pytest.raises(PolicyError, match="expected a run that starts servers, got"):
        lease_server(asked())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_ends_takes_its_servers_with_it(starts, how):
    code = f"""
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
sys.path[:0] = [{str(TESTS)!r}, {str(TESTS / "runs")!r}]
from test_servers import PLAYS, RunServers, asked, command, lease_server, settings
settings.find_spec = lambda name: object()
with RunServers([PLAYS], command) as run:
    os.environ.update(run.environment)
    lease = lease_server(asked())
    print("has it", flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout and process.stdout.readline() == b"has it\n"
    assert not gone(starts.pids[0]) and os.getpgid(starts.pids[0]) == starts.pids[0]
    process.send_signal(how)
    process.wait(60)
    process.stdout.close()
    until(lambda: gone(starts.pids[0]), 5)


# ------------------------------------------------------------------ whole runs

ASK = """
from eefcore.policies.openai.lease import lease_server
from test_servers import asked
lease = lease_server(asked("whole" if split == "test" else "base"))
lease.check()
(stage.folder / "engine.txt").write_text(p.engine)
"""
ENGINE = 'engine: str = "hf"  # what serves the model\n'


@pytest.fixture
def playing(demo, starts, monkeypatch) -> list[Node]:
    """A plan whose stages 06 ask for servers, on a machine with a `vllm` whose server is the stand-in."""
    package = demo.parents[1] / "modules" / "vllm"
    (package / "entrypoints" / "openai").mkdir(parents=True)
    for folder in (package, package / "entrypoints", package / "entrypoints" / "openai"):
        (folder / "__init__.py").touch()
    (package / "entrypoints" / "openai" / "api_server.py").write_text(STAND_IN.read_text())
    path = (package.parent, ROOT, TESTS, TESTS / "runs")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, path)))
    monkeypatch.setattr(settings, "find_spec", lambda name: object())
    parameters = f"{KNOBS['06_evaluate']}\n{ENGINE}{PLAY}"
    name = "06_evaluate"
    write_notebook(demo.parents[1], name, OPEN.format(name=name), ASK, WORK, FINISH, parameters=parameters)
    lines = 'run: a\nshared: {engine: "vllm_server?dtype=float32"}\nmethods: {EEF: {iterations: 2}}'
    return plan_run(write_params(demo.parents[1], lines))


@pytest.mark.parametrize("gpu", [False, True], ids=["on a CPU", "on a GPU"])
@pytest.mark.slow
def test_a_run_keeps_a_server_until_something_else_needs_its_memory(playing, starts, monkeypatch, gpu):
    """On a GPU the server of `base` would hold the memory in which the next iteration is trained."""
    monkeypatch.setattr(runner, "gpu", lambda: gpu)
    monkeypatch.setattr(
        runner, "_most_urgent_first", lambda todo: sorted(todo, key=lambda n: n.notebook.stage != "evaluate")
    )
    runner.run(playing, resume="", jobs=1)
    played = [node for node in playing if node.notebook.stage == "evaluate"]
    assert [node.label for node in played] == ["evaluate.1", "evaluate.2", "evaluate.test"]
    assert starts.flag("--served-model-name") == (["base"] * 2 if gpu else ["base"]) + ["whole"]
    assert all(map(gone, starts.pids))
    for node in played:
        assert (node.folder / "engine.txt").read_text() == "vllm_server?dtype=float32"
    assert all(
        node.finished for node in plan_run(Path("params/demo.yaml"))
    )  # an identity has no port, no key
