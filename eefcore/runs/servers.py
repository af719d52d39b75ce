"""Start a vLLM server when a stage of a run first asks for one, keep it for the stages that follow, and end it with the run.

A stage asks at a socket for a model and for room (`eefcore.policies.openai.lease`). A server that runs and has both is
taken; adapters are no matter, since each stage loads its own. Otherwise those that no stage uses are stopped, and one is
started: so whole models replace each other, and what consecutive stages play stays. One that has too little room for a model is
followed by one that has room for all that was asked for it.

A server listens on this machine alone and asks for a key of the run. It has a session of its own, so that Ctrl-C is for the run,
and dies with the run however that ends.
"""

from __future__ import annotations

import os
import re
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import reduce
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread
from typing import IO, Self

import msgspec

from eefcore.policies.openai.lease import KEY, SOCKET, Offer, ServerRequest
from eefcore.policies.settings import RunServerOptions, read_engine
from eefcore.policies.vllm_arguments import MAY_LOAD_ADAPTERS, OWNER, SERVER, Room
from eefcore.runs.plan import Node
from eefcore.variables import expand_variables

TICK_SECONDS = 0.25
START_SECONDS = 1800.0  # for a server to load a model
END_SECONDS = 20.0  # for a server to end by itself
SHOWN_LINES = 8  # of errors that a server wrote before it ended, and as many after the last
HOST = "127.0.0.1"
QUIET = ("--disable-log-stats", "--disable-uvicorn-access-log")

_ERROR = re.compile(r"(\([^)]*\) *)?(ERROR\b|[\w.]*(Error|Exception)\b)")
"""The start of a line that says what went wrong: `(EngineCore pid=1) ERROR …`, or the last line of a traceback."""

Command = Callable[[ServerRequest, int], Sequence[str]]
"""Return the command line of a server at a port."""


def asks_for_server(node: Node) -> bool:
    """Return whether a stage plays its models on a server of the run."""
    engine = str(expand_variables(node.params.get("engine") or ""))
    return bool(engine) and isinstance(read_engine(engine), RunServerOptions)


def vllm_command(request: ServerRequest, port: int) -> list[str]:
    """Return the command line of vLLM's server."""
    return [sys.executable, "-P", *SERVER, *request.flags, "--host", HOST, "--port", str(port), *QUIET]


@dataclass
class _Server:
    """A server, and the connections of the stages that use it or wait for it."""

    request: ServerRequest
    process: subprocess.Popen[bytes]
    port: int
    output: IO[bytes]
    began: float
    ready: bool = False
    stages: set[socket.socket] = field(default_factory=set)

    @property
    def offer(self) -> Offer:
        return Offer(f"http://{HOST}:{self.port}/v1")

    def serves(self, request: ServerRequest) -> bool:
        """Return whether this server gives the answers that are asked for."""
        return self.request.model == request.model and self.request.room.holds(request.room)

    def is_healthy(self) -> bool:
        """Return whether it answers requests by now."""
        with closing(HTTPConnection(HOST, self.port, timeout=1.0)) as connection:
            try:
                connection.request("GET", "/health")
                return connection.getresponse().status == 200
            except (OSError, HTTPException):
                return False

    def last_words(self) -> str:
        """Return the last lines that it wrote: of errors and what follows the last one, if there are any."""
        self.output.seek(0)
        lines = self.output.read().decode(errors="replace").strip().splitlines()
        errors = [i for i, line in enumerate(lines) if _ERROR.match(line)][-SHOWN_LINES:]
        shown = [*errors, *range(errors[-1] + 1, len(lines))] if errors else range(len(lines))[-SHOWN_LINES:]
        return "\n    ".join(["", *(lines[i].strip() for i in shown[: 2 * SHOWN_LINES])])


class RunServers:
    """The vLLM servers of a run: started where stages ask for them, ended with this context at the latest."""

    def __init__(self, nodes: Iterable[Node], command: Command = vllm_command) -> None:
        """Servers are there for `nodes` if one of these stages can ask for one; `command` starts a server."""
        self._wanted, self._command = any(map(asks_for_server, nodes)), command
        self._key = secrets.token_hex(16)
        self._ending, self._stop_idle, self._stopped = Event(), Event(), Event()
        self._servers: list[_Server] = []
        self._heard: dict[socket.socket, bytes] = {}
        self.environment: dict[str, str] = {}
        """What a kernel's environment has to hold, so that its stage can ask."""

    def __enter__(self) -> Self:
        if self._wanted:
            self._folder = tempfile.TemporaryDirectory(prefix="eef-servers-")  # nobody else may enter it
            path = str(Path(self._folder.name, "socket"))
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(path)
            self._listener.listen()
            direct = [
                name for name in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), HOST) if name
            ]
            self.environment = {SOCKET: path, KEY: self._key, "no_proxy": ",".join(direct)}
            self._thread = Thread(target=self._work, name="vllm-servers")
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._wanted:
            self._ending.set()
            self._thread.join()
            self._folder.cleanup()
            self.environment = {}

    def stop_idle(self) -> None:
        """Stop the servers that no stage uses, and wait until they have ended and given their memory back."""
        if self._wanted:
            self._stopped.clear()
            self._stop_idle.set()
            while self._thread.is_alive() and not self._stopped.wait(TICK_SECONDS):
                pass

    # ------------------------------------------------------------------ the thread, which alone starts and stops servers

    def _work(self) -> None:
        """Answer stages until the run ends. Servers die with this thread, by `processes.die_with`."""
        with selectors.DefaultSelector() as self._selector:
            self._selector.register(self._listener, selectors.EVENT_READ)
            try:
                while not self._ending.is_set():
                    self._listen(TICK_SECONDS)
                    self._look_after_servers()
                    if self._stop_idle.is_set():
                        self._listen(0.0)  # a stage that has just ended gives its server back
                        self._stop(self._idle())
                        self._stop_idle.clear()
                        self._stopped.set()
            finally:
                self._stop(self._servers)
                for channel in (*self._heard, self._listener):
                    channel.close()

    def _listen(self, seconds: float) -> None:
        """Hear every stage that says something or is gone, and wait for `seconds` if none does."""
        for key, _ in self._selector.select(seconds):
            channel = key.fileobj
            assert isinstance(channel, socket.socket)
            if channel is self._listener:
                channel, _ = channel.accept()
                self._heard[channel] = b""
                self._selector.register(channel, selectors.EVENT_READ)
                continue
            try:
                said = channel.recv(65536)
            except OSError:
                said = b""
            if said:
                self._heard[channel] += said
                if said.endswith(b"\n"):
                    request = msgspec.json.decode(self._heard[channel], type=ServerRequest)
                    self._heard[channel] = b""
                    self._serve(channel, request)
            else:
                self._forget(channel)

    def _serve(self, channel: socket.socket, request: ServerRequest) -> None:
        """Give the stage at `channel` a server: one that runs, or a new one once it is ready."""
        server = next((s for s in self._servers if s.serves(request)), None)
        if server is None:
            smaller = [s.request.room for s in self._servers if s.request.model == request.model]
            self._stop(self._idle())
            room = reduce(Room.joined, smaller, request.room)
            server = self._start(msgspec.structs.replace(request, room=room))
        server.stages.add(channel)
        if server.ready:
            self._say(channel, server.offer)

    def _start(self, request: ServerRequest) -> _Server:
        port, output = _free_port(), tempfile.TemporaryFile()  # noqa: SIM115  # closed in `_stop`
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "eefcore.processes",
                str(os.getpid()),
                *self._command(request, port),
            ],
            env=os.environ | {"VLLM_API_KEY": self._key, MAY_LOAD_ADAPTERS: "1", OWNER: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._servers.append(server := _Server(request, process, port, output, time.monotonic()))
        return server

    def _look_after_servers(self) -> None:
        """Tell stages that wait for a server when it is ready, and those of a server that has ended why it has."""
        for server in list(self._servers):
            name, seconds = server.request.name, time.monotonic() - server.began
            if (code := server.process.poll()) is not None:
                when = "while it was used" if server.ready else "before it was ready"
                self._give_up(
                    server, f"the vLLM server of {name} ended {when} (code {code}):{server.last_words()}"
                )
            elif not server.ready and server.is_healthy():
                server.ready = True
                for channel in list(server.stages):
                    self._say(channel, server.offer)
            elif not server.ready and seconds > START_SECONDS:
                late = f"was not ready after {START_SECONDS:.0f} seconds"
                self._give_up(server, f"the vLLM server of {name} {late}:{server.last_words()}")

    def _give_up(self, server: _Server, reason: str) -> None:
        """Tell the stages of a server why they have it no more."""
        for channel in list(server.stages):
            self._say(channel, Offer(error=reason))
            self._forget(channel)
        self._stop([server])

    def _say(self, channel: socket.socket, offer: Offer) -> None:
        with suppress(OSError):  # the stage is gone: heard in the next round
            channel.sendall(msgspec.json.encode(offer) + b"\n")

    def _forget(self, channel: socket.socket) -> None:
        if self._heard.pop(channel, None) is not None:
            self._selector.unregister(channel)
            channel.close()
        for server in self._servers:
            server.stages.discard(channel)

    def _idle(self) -> list[_Server]:
        return [server for server in self._servers if not server.stages]

    def _stop(self, servers: Iterable[_Server]) -> None:
        """End servers, all at once; what one leaves behind is killed."""
        ending = list(servers)
        for server in ending:
            server.process.terminate()
        for server in ending:
            with suppress(subprocess.TimeoutExpired):
                server.process.wait(END_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
            server.output.close()
            self._servers.remove(server)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]
