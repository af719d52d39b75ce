"""`python -m eefcore.runs.kernel -f FILE`: an IPython kernel that dies with the process that started it.

ipykernel looks for its parent once a second. A killed `eef run` that is started again at once would
share a stage's folder with its own ghost for that second, so on Linux the system is asked to end the
kernel in the same instant; elsewhere ipykernel's second remains.

`python -m eefcore.runs.kernel --serve FD MODULE…`: a server that imports MODULEs once and forks a kernel at
each request (`eefcore.runs.kernels`). A kernel is a process of its own all the same, as it is after its
imports; what it saves is those seconds, which of a short stage are most. It dies with its server, as the
server dies with the process that started it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PARENT = "JPY_PARENT_PID"  # jupyter_client's: read by ipykernel when it is imported
BACKEND = "module://matplotlib_inline.backend_inline"  # as ipykernel sets it; matplotlib reads it at import
LONGEST = 1 << 20  # bytes of a request


def die_with(parent: int) -> None:
    """This process gets SIGKILL when the thread that started it ends, or ends now if `parent` is gone already."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the process that started this kernel is gone")


def serve(channel: socket.socket, modules: Sequence[str]) -> None:
    """Import `modules`, say so, and fork a kernel at each request until `channel` is closed.

    Returns in each kernel, once it stands as a kernel that was asked for: its arguments in `sys.argv`.
    """
    os.environ[PARENT] = str(os.getpid())
    os.environ.setdefault("MPLBACKEND", BACKEND)
    for name in ("ipykernel.kernelapp", *modules):
        with suppress(ImportError):  # the notebook that wants it will say so
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is shared stays shared
    signal.signal(
        signal.SIGCHLD, signal.SIG_IGN
    )  # nobody waits for kernels; they are watched by their handles
    channel.send(b"ready")
    while True:
        request, given, *_ = socket.recv_fds(channel, LONGEST, 1)
        if not request:
            sys.exit()
        (said,) = given
        server, pid = os.getpid(), os.fork()
        if not pid:
            channel.close()
            _stand(json.loads(request), said, server)
            return
        os.close(said)
        handle = os.pidfd_open(pid)
        socket.send_fds(channel, [str(pid).encode()], [handle])
        os.close(handle)


def _stand(request: dict, said: int, server: int) -> None:
    """This new process, as if it had been started with what the request says."""
    os.setsid()
    die_with(server)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for given, number in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(given, number)
    os.close(nothing)
    os.close(said)
    os.environ.clear()
    os.environ.update(request["env"] | {PARENT: str(server)})
    os.chdir(request["cwd"])
    sys.argv[1:] = request["arguments"]


if __name__ == "__main__":
    die_with(int(os.environ[PARENT]))
    sys.path.pop(0)  # the folder it was started in; IPython puts it back, after its own imports
    if sys.argv[1] == "--serve":
        serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[3:])
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
