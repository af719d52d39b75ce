"""End a process with its parent, however the parent ends.

python -m eefcore.processes PARENT PROGRAM ARGUMENT…    a program that ends with the process number PARENT
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with(parent: int) -> None:
    """Kill this process when the thread that started it ends; exit now if `parent` is gone already.

    The system does it, so it holds when the parent is killed too, and at once: ipykernel looks for its parent only once a
    second, in which a killed `eef run` that is started again would share a stage's folder with its old kernel. Only Linux
    can; elsewhere that second remains.
    """
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # what the system was told holds for the program too
