"""Ask the run for a vLLM server, and keep it for as long as this stage plays.

`eef run` starts such servers (`eefcore.runs.servers`) and tells each kernel, in its environment, a socket to ask at. What goes
over it are lines of JSON: a stage sends a `ServerRequest` and gets an `Offer`, and a second one if the server ends early.
While the connection is open the server is kept.
"""

from __future__ import annotations

import os
import shlex
import socket
import weakref

import msgspec

from eefcore.errors import PolicyError
from eefcore.policies.vllm_arguments import MAY_LOAD_ADAPTERS, SERVER, EngineModel, Room, write_flags

SOCKET = "EEF_SERVERS"
"""The environment variable with the path of the socket at which a stage asks."""

KEY = "EEF_SERVERS_KEY"
"""The environment variable with the key of a run's servers, which answer no other program of this machine."""


class ServerRequest(msgspec.Struct, frozen=True):
    """A server that a stage asks for.

    Attributes:
        name: how the model is called there.
        memory: the share of the GPU's memory that a server takes which has to be started; one that runs keeps its own.
    """

    model: EngineModel
    room: Room
    name: str
    memory: float

    @property
    def flags(self) -> list[str]:
        """Return the arguments of vLLM's server, but for its address."""
        arguments = self.model.arguments(self.room, self.memory)
        if self.room.adapter_rank:
            # Two are answered side by side, a policy and its critic for example; more are kept where they need no GPU.
            arguments |= {"max_loras": 2, "max_cpu_loras": 8}
        return write_flags(arguments | {"served_model_name": self.name})


class Offer(msgspec.Struct, frozen=True):
    """A server's address, which ends in `/v1`, or why there is none."""

    url: str = ""
    error: str = ""


class Lease:
    """A server of the run that is kept for this stage, until `close` or the end of whoever holds the lease."""

    def __init__(self, channel: socket.socket, url: str) -> None:
        self.url, self._channel = url, channel
        weakref.finalize(self, channel.close)

    def check(self) -> None:
        """Refuse to go on with a server that has ended.

        Raises:
            PolicyError: it has; the message shows the last lines that it wrote.
        """
        self._channel.setblocking(False)
        try:
            offer = _read_offer(self._channel)
        except BlockingIOError:
            return
        raise PolicyError(f"engine vllm_server: {offer.error}; run this again, what was played is kept")

    def close(self) -> None:
        """Let the run stop the server."""
        self._channel.close()


def lease_server(request: ServerRequest) -> Lease:
    """Return the server that `request` asks for, once it is ready, which may take minutes.

    Raises:
        PolicyError: nobody starts servers here, or this one could not be started.
    """
    if not (path := os.environ.get(SOCKET)):
        command = shlex.join(["python", *SERVER, *request.flags])
        raise PolicyError(
            "engine vllm_server: expected `eef run`, which starts a server for its stages, got a notebook that was opened by "
            f"hand. Start one in a terminal with\n{MAY_LOAD_ADAPTERS}=1 {command}\nand set engine to "
            f"openai:http://localhost:8000/v1?dtype={request.model.dtype}; or use engine vllm, which needs no server"
        )
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(path)
        channel.sendall(msgspec.json.encode(request) + b"\n")
        offer = _read_offer(channel)
    except OSError as error:
        channel.close()
        raise PolicyError(
            f"engine vllm_server: expected a run that starts servers, got {error}; was the run stopped? Start it again"
        ) from error
    except BaseException:  # an interrupted cell
        channel.close()
        raise
    if offer.error:
        channel.close()
        raise PolicyError(f"engine vllm_server: {offer.error}")
    return Lease(channel, offer.url)


def _read_offer(channel: socket.socket) -> Offer:
    """Return the next offer; one of nothing if the other side is gone."""
    line = b""
    while not line.endswith(b"\n"):
        if not (part := channel.recv(65536)):
            return Offer(error="the run that started this server is gone")
        line += part
    return msgspec.json.decode(line, type=Offer)
