"""`python -m eefcore.runs.kernel -f FILE`: an IPython kernel that dies with the process that started it.

ipykernel looks for its parent once a second. A killed `eef run` that is started again at once would
share a stage's folder with its own ghost for that second, so on Linux the system is asked to end the
kernel in the same instant; elsewhere ipykernel's second remains.

`python -m eefcore.runs.kernel --serve FD MODULE…`: a server that imports MODULEs once and forks a kernel at
each request (`eefcore.runs.kernels`). A kernel is a process of its own all the same, as it is after its
imports; what it saves is those seconds, which of a short stage are most: eleven stages with next to nothing to
do took 77 to 79 s of CPU time without a server and 28 to 29 s with one, 84 to 88 s and 27 to 45 s of wall time
(two cores, two runs each). It dies with its server, as the server dies with the process that started it.

Some modules make a temporary folder when they are imported, and delete it when their process ends; W&B keeps
media in one. The first kernel that ended would take it from the others, so each gets a folder of its own.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any

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
    with noted_folders() as folders:
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
            renew(folders)
            return
        os.close(said)
        handle = os.pidfd_open(pid)
        socket.send_fds(channel, [str(pid).encode()], [handle])
        os.close(handle)


Folder = tuple[TemporaryDirectory, tuple[Any, ...], dict[str, Any]]
"""A temporary folder and the arguments that made it."""


@contextmanager
def noted_folders() -> Iterator[list[Folder]]:
    """Yield the list of the temporary folders that are made in this context, by whatever module."""
    made: list[Folder] = []
    make = TemporaryDirectory.__init__

    def note(folder: TemporaryDirectory, *given: Any, **named: Any) -> None:
        make(folder, *given, **named)
        made.append((folder, given, named))

    TemporaryDirectory.__init__ = note  # type: ignore[method-assign]
    try:
        yield made
    finally:
        TemporaryDirectory.__init__ = make  # type: ignore[method-assign]


def renew(folders: Sequence[Folder]) -> None:
    """Give this forked process copies of its parent's temporary folders, and leave the parent's alone."""
    for folder, given, named in folders:
        parents = folder.name
        if folder._finalizer.detach():  # type: ignore[attr-defined]  # else it was deleted before the fork
            folder.__init__(*given, **named)  # type: ignore[misc]  # modules hold this object
            shutil.copytree(parents, folder.name, dirs_exist_ok=True)


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
