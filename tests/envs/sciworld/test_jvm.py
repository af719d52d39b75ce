"""However a process ends, its Java process ends with it; the tests count the Java processes that are left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from eefcore.envs.sciworld import jvm
from eefcore.envs.sciworld.jvm import Jvm
from eefcore.envs.sciworld.simulator import Simulator
from eefcore.errors import SimulatorError

pytestmark = [pytest.mark.java, pytest.mark.xdist_group("jvm")]

STARTED = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from eefcore.envs.sciworld.simulator import Simulator
simulators = [Simulator() for _ in range(int(sys.argv[1]))]
simulators[0].load("boil", 0)
print(*(w.jvm.pid for w in simulators), flush=True)
"""
PATIENCE = 60.0  # seconds; it takes well under one on a machine that is idle


@contextmanager
def started(ends: str, n: int = 1) -> Iterator[tuple[subprocess.Popen, list[psutil.Process]]]:
    """A process that starts `n` simulators and goes on with `ends`, and their Java processes."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTED + ends, str(n)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            javas = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
            assert len(javas) == n and all("java" in java.name() for java in javas)
            yield process, javas
        finally:
            process.kill()


def left(javas: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run when they were given time to end."""
    _, alive = psutil.wait_procs(javas, timeout=PATIENCE)
    return alive


@pytest.mark.slow
@pytest.mark.parametrize(
    "ends",
    {
        "return": "",
        "exception": "raise RuntimeError",
        "exit": "sys.exit(3)",
        "at once": "os._exit(0)",
        "a thread that goes on": "threading.Thread(target=time.sleep, args=(1,)).start()",
    }.items(),
    ids=lambda item: item[0],
)
def test_no_java_is_left_when_a_process_ends_by_itself(ends):
    with started(ends[1]) as (process, javas):
        process.wait(PATIENCE)
        assert left(javas) == []


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_java_is_left_when_a_process_is_ended(sign):
    with started("time.sleep(600)", n=2) as (process, javas):
        process.send_signal(sign)
        process.wait(PATIENCE)
        assert left(javas) == []


@pytest.mark.slow
def test_no_java_is_left_when_it_is_killed_in_the_middle_of_a_step():
    with started("while True: simulators[0].load('melt', 0)") as (process, javas):
        time.sleep(0.3)
        process.kill()
        process.wait(PATIENCE)
        assert left(javas) == []


@pytest.mark.slow
def test_a_forked_child_that_goes_on_keeps_none():
    """It would hold our end of the pipe open: what was measured of the package's own environment."""
    with started("if pid := os.fork(): print(pid, flush=True)\ntime.sleep(600)") as (process, javas):
        child = psutil.Process(int(process.stdout.readline()))
        process.kill()
        process.wait(PATIENCE)
        try:
            assert child.is_running() and left(javas) == []
        finally:
            child.kill()


@pytest.mark.slow
def test_a_forked_child_that_ends_leaves_ours_and_can_have_its_own():
    goes_on = """
if not (pid := os.fork()):
    alive, own = simulators[0].jvm.alive, Simulator()
    print(alive, own.jvm.pid, flush=True)
    sys.exit()
os.waitpid(pid, 0)
print(simulators[0].load("melt", 0).response.score, flush=True)
time.sleep(600)
"""
    with started(goes_on) as (process, (java,)):
        alive, own = process.stdout.readline().split()
        assert (alive, int(own) != java.pid) == ("False", True)
        assert process.stdout.readline().strip() == "0" and java.is_running()
        assert not psutil.pid_exists(int(own)) or left([psutil.Process(int(own))]) == []


@pytest.mark.slow
def test_ctrl_c_in_a_call_ends_the_simulator_and_not_only_the_call():
    """Calls and answers are matched by their order: an answer that nobody waited for would be the next call's."""
    simulator = Simulator()
    java = psutil.Process(simulator.jvm.pid)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in range(10_000):
                simulator.forget(simulator.load("boil", 0))
    finally:
        signal.signal(signal.SIGINT, before)
    assert left([java]) == [] and not simulator.jvm.alive
    with pytest.raises(SimulatorError, match="has ended; load the task anew"):
        simulator.load("boil", 0)


def test_a_closed_or_dropped_simulator_has_ended():
    one, other = Jvm(), Jvm()
    javas = [psutil.Process(one.pid), psutil.Process(other.pid)]
    one.close()
    one.close()
    assert not one.alive and other.alive
    del other
    assert left(javas) == []


def test_it_is_in_a_session_of_its_own_so_that_ctrl_c_is_ours(simulator):
    assert os.getsid(simulator.jvm.pid) != os.getsid(os.getpid())


@pytest.mark.parametrize("lack", ["scienceworld", "Java"])
def test_a_missing_dependency_is_named_with_what_to_do(lack, monkeypatch):
    if lack == "Java":
        monkeypatch.setattr(jvm, "_java", lambda: None)
    else:
        monkeypatch.setattr(jvm, "PACKAGE", "no_such_package")
    expected = {"Java": "no Java here; `apt-get install", "scienceworld": "no no_such_package package here"}
    with pytest.raises(SimulatorError, match=expected[lack]):
        Jvm()
