"""Kernels forked from a server that has imported already what the notebooks of a run import.

    with Kernels(modules) as kernels:        the server starts, and imports meanwhile
        process = kernels.fork(…)            a kernel at once; None while there is no server to fork it

Linux only, and not where there is a GPU: CUDA does not survive a fork. The server is `eefcore.runs.kernel`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from eefcore.runs.kernel import PARENT

END_SECONDS = 5.0  # for a server to end by itself

ENDED = 1
"""The return code of a kernel that is not our child, and so tells only that it ended."""


class Forked:
    """A kernel's process by its handle, with what jupyter_client asks of a Popen."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, handle: int) -> None:
        self.pid, self._handle = pid, handle
        self.returncode: int | None = None
        self._lock = Lock()

    def poll(self) -> int | None:
        return self.wait(0.0)

    def wait(self, timeout: float | None = None) -> int | None:
        """Its return code, or None if it has not ended after `timeout` seconds."""
        with (
            self._lock
        ):  # its own thread asks how it does while another ends it: a closed handle is somebody else's
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


class Kernels:
    """A server and its kernels, which end with it, and with the thread that entered this at the latest."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._modules = list(modules)
        self._server: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._ready, self._lock = False, Lock()

    def __enter__(self) -> Self:
        if self._modules and sys.platform == "linux" and not gpu():
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            number = theirs.fileno()
            with theirs:
                self._server = subprocess.Popen(
                    [sys.executable, "-m", "eefcore.runs.kernel", "--serve", str(number), *self._modules],
                    env=os.environ | {PARENT: str(os.getpid())},
                    pass_fds=[number],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for us alone
                )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server and self._channel:
            with suppress(OSError):  # it has died
                self._is_ready()
            self._channel.close()  # the server ends by itself, and deletes the temporary folders of its modules
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(END_SECONDS if self._ready else 0.0)
            self._server.kill()
            self._server.wait()

    def fork(
        self, arguments: Sequence[str], *, cwd: Path | str, env: Mapping[str, str], said: int
    ) -> Forked | None:
        """A kernel with `arguments`; what it says outside of cells goes to the open file `said`."""
        request = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}
        with self._lock:
            try:
                if not self._channel or not self._is_ready():
                    return None
                socket.send_fds(self._channel, [json.dumps(request).encode()], [said])
                pid, (handle,), *_ = socket.recv_fds(self._channel, 20, 1)
            except (OSError, ValueError):  # it has died; kernels start without it
                return None
        return Forked(int(pid), handle)

    def _is_ready(self) -> bool:
        if not self._ready and self._channel:
            readable, *_ = select.select([self._channel], [], [], 0.0)
            self._ready = bool(readable) and self._channel.recv(20) == b"ready"
        return self._ready


def gpu() -> bool:
    """Whether there is one, as its driver tells."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
