"""Kernels that die with the process that started them, and a server that forks them with their imports done.

    python -m eefcore.runs.kernels -f FILE              one kernel
    python -m eefcore.runs.kernels serve FD MODULE…     the process of a `KernelServer`

A forked kernel is a process of its own all the same. What it saves are the seconds of its imports, which of a short
stage are most: eleven stages with next to nothing to do took 77 to 79 s of CPU time without a server and 28 to 29 s with
one. The server runs on Linux, and not where there is a GPU: CUDA does not survive a fork.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Self

from eefcore.processes import die_with

COMMAND = (sys.executable, "-m", "eefcore.runs.kernels")
PARENT = "JPY_PARENT_PID"  # jupyter_client's: read by ipykernel when it is imported
BACKEND = "module://matplotlib_inline.backend_inline"  # as ipykernel sets it; matplotlib reads it at import
LONGEST = 1 << 20  # bytes of a request
END_SECONDS = 5.0  # for a server to end by itself
ENDED = 1  # the return code of every forked kernel that ended: not our child, so the true one is not known


class ForkedKernel:
    """The process of a forked kernel, with the part of `Popen` that jupyter_client uses."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, handle: int) -> None:
        self.pid, self._handle = pid, handle
        self.returncode: int | None = None
        self._lock = Lock()

    def poll(self) -> int | None:
        return self.wait(0.0)

    def wait(self, timeout: float | None = None) -> int | None:
        """Return its return code, or None if it has not ended after `timeout` seconds."""
        # two threads may wait at once, and the number of a closed handle may be reused
        with self._lock:
            if self.returncode is None:
                watched = select.poll()  # a handle can be read once its process has ended
                watched.register(self._handle, select.POLLIN)
                if watched.poll(None if timeout is None else 1000 * timeout):
                    self.returncode = ENDED
                    os.close(self._handle)
            return self.returncode

    def send_signal(self, number: int) -> None:
        with self._lock, suppress(ProcessLookupError):
            if self.returncode is None:
                signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class KernelServer:
    """A server that imports `modules` in the background; it and its kernels end when this context ends.

    They end with the thread that entered it at the latest.
    """

    def __init__(self, modules: Iterable[str]) -> None:
        self._modules = list(modules)
        self._server: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._ready, self._lock = False, Lock()

    def __enter__(self) -> Self:
        if self._modules and sys.platform == "linux" and not gpu():
            self._channel, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with remote:
                self._server = subprocess.Popen(
                    [*COMMAND, "serve", str(remote.fileno()), *self._modules],
                    env=os.environ | {PARENT: str(os.getpid())},
                    pass_fds=[remote.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for us alone
                )
        return self

    def __exit__(self, *_: object) -> None:
        if self._server and self._channel:
            with suppress(OSError):  # it has died
                self._is_ready()
            self._channel.close()  # the server ends by itself, and deletes the temporary folders of its modules
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(END_SECONDS if self._ready else 0.0)
            self._server.kill()
            self._server.wait()

    def fork(
        self, arguments: Sequence[str], *, cwd: Path | str, env: Mapping[str, str], output: int
    ) -> ForkedKernel | None:
        """Return a new kernel, or None while there is no server that is ready.

        What it prints outside of cells goes to the open file `output`.
        """
        request = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}
        with self._lock:
            try:
                if not self._channel or not self._is_ready():
                    return None
                socket.send_fds(self._channel, [json.dumps(request).encode()], [output])
                pid, (handle,), *_ = socket.recv_fds(self._channel, 20, 1)
            except (OSError, ValueError):  # it has died; kernels start without it
                return None
        return ForkedKernel(int(pid), handle)

    def _is_ready(self) -> bool:
        if not self._ready and self._channel:
            readable, *_ = select.select([self._channel], [], [], 0.0)
            self._ready = bool(readable) and self._channel.recv(20) == b"ready"
        return self._ready


def gpu() -> bool:
    """Return whether this machine has an NVIDIA GPU, by its device files."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


# ------------------------------------------------------------------------------ the other processes


def import_name(name: str) -> None:
    """Import the module `name`, or the module that defines what a package exports under `name`.

    A name that can't be imported is left to the notebook that imports it, which reports the error.
    """
    package, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ImportError:
        with suppress(ImportError, AttributeError, ValueError):
            getattr(importlib.import_module(package), attribute)


def serve(channel: socket.socket, modules: Sequence[str]) -> None:
    """Import `modules`, send "ready", and fork a kernel at each request until `channel` is closed.

    Returns in each forked process, once it is set up as the requested kernel, with its arguments in `sys.argv`.
    """
    server = os.getpid()
    os.environ[PARENT] = str(server)
    os.environ.setdefault("MPLBACKEND", BACKEND)
    with noted_folders() as folders:
        for name in ("ipykernel.kernelapp", *modules):
            import_name(name)
    gc.collect()
    gc.freeze()  # what is shared stays shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # kernels are watched by their handles, not waited for
    channel.send(b"ready")
    while True:
        request, files, *_ = socket.recv_fds(channel, LONGEST, 1)
        if not request:
            sys.exit()
        (output,) = files
        pid = os.fork()
        if not pid:
            channel.close()
            _become(json.loads(request), output, server)
            renew(folders)
            return
        os.close(output)
        handle = os.pidfd_open(pid)
        socket.send_fds(channel, [str(pid).encode()], [handle])
        os.close(handle)


Folder = tuple[TemporaryDirectory[str], tuple[Any, ...], dict[str, Any]]
"""A temporary folder and the arguments that made it."""


@contextmanager
def noted_folders() -> Generator[list[Folder]]:
    """Yield the list of the temporary folders that are made in this context, by whatever module.

    Some modules make one when they are imported, as W&B for media, and delete it when their process ends: the first
    kernel that ended would take it from the others.
    """
    made: list[Folder] = []
    make = TemporaryDirectory.__init__

    def note(folder: TemporaryDirectory[str], *args: Any, **kwargs: Any) -> None:
        make(folder, *args, **kwargs)
        made.append((folder, args, kwargs))

    TemporaryDirectory.__init__ = note  # ty: ignore[invalid-assignment]  # only while modules are imported
    try:
        yield made
    finally:
        TemporaryDirectory.__init__ = make


def renew(folders: Sequence[Folder]) -> None:
    """Give this forked process copies of its parent's temporary folders, and leave the parent's alone."""
    for folder, args, kwargs in folders:
        original = folder.name
        if folder._finalizer.detach():  # ty: ignore[missing-attribute]  # private; else it was deleted before the fork
            folder.__init__(*args, **kwargs)  # modules hold this object
            shutil.copytree(original, folder.name, dirs_exist_ok=True)


def _become(request: dict[str, Any], output: int, server: int) -> None:
    """Set up this new process as if it had been started with the arguments, folder and environment of the request."""
    os.setsid()
    die_with(server)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, number)
    os.close(nothing)
    os.close(output)
    os.environ.clear()
    os.environ.update(request["env"] | {PARENT: str(server)})
    os.chdir(request["cwd"])
    sys.argv[1:] = request["arguments"]


if __name__ == "__main__":
    die_with(int(os.environ[PARENT]))
    sys.path.pop(0)  # the folder it was started in; IPython puts it back, after its own imports
    if sys.argv[1:2] == ["serve"]:
        serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[3:])
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
