"""`python -m eefcore.kernel -f FILE`: an IPython kernel that dies with the process that started it.

ipykernel looks for its parent once a second. A killed `eef run` that is started again at once would
share a stage's folder with its own ghost for that second, so on Linux the system is asked to end the
kernel in the same instant; elsewhere ipykernel's second remains.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """This process gets SIGKILL when the thread that started it ends, or now if it has already."""
    if sys.platform != "linux":
        return
    parent = int(os.environ["JPY_PARENT_PID"])  # set by jupyter_client
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the process that started this kernel is gone")


if __name__ == "__main__":
    die_with_parent()
    sys.path.pop(0)  # the folder it was started in; IPython puts it back, after its own imports
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
