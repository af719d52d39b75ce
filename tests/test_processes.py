"""A program that ends with its parent, or is not begun if that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a process that its parent has ended"
)

COMMAND = (sys.executable, "-m", "eefcore.processes")


def test_a_program_ends_with_the_process_that_started_it():
    inner = [*COMMAND, "PARENT", sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"]
    outer = f"""
import os, subprocess
command = [str(os.getpid()) if word == "PARENT" else word for word in {inner!r}]
print(subprocess.Popen(command).pid, flush=True)
input()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin and parent.stdout
    program = psutil.Process(int(parent.stdout.readline()))
    assert parent.stdout.readline() == "1\n"  # the program has begun
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 10
    while program.is_running() and program.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_program_whose_parent_is_gone_is_not_begun():
    run = subprocess.run([*COMMAND, str(os.getpid() + 1), "echo", "begun"], capture_output=True, text=True)
    assert run.returncode == 1 and not run.stdout and "is gone" in run.stderr
    run = subprocess.run([*COMMAND, str(os.getpid()), "echo", "begun"], capture_output=True, text=True)
    assert run.stdout == "begun\n"
