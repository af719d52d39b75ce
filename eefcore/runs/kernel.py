"""`python -m eefcore.runs.kernel -f FILE`: an IPython kernel that dies with the process that started it.

ipykernel looks for its parent once a second. Without more, a killed `eef run` that is started again at once would share
a stage's folder with its old kernel for that second; so on Linux the system is asked to end the kernel in the same
instant. Elsewhere ipykernel's second remains.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PARENT = "JPY_PARENT_PID"  # jupyter_client's: read by ipykernel when it is imported


def die_with(parent: int) -> None:
    """Have this process killed when the thread that started it ends; exit now if `parent` is gone already."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the process that started this kernel is gone")


def launch() -> None:
    """Run the kernel that `sys.argv` describes until it is shut down."""
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()


if __name__ == "__main__":
    die_with(int(os.environ[PARENT]))
    sys.path.pop(0)  # the folder it was started in; IPython puts it back, after its own imports
    launch()
