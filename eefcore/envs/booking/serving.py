"""Serve the booking site on this machine, for a person with a browser of their own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eefcore.envs.booking.database import Database
from eefcore.envs.booking.site import make_app
from eefcore.envs.web.address import HOST
from eefcore.errors import ParamsError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class PersonsVisit:
    """A visit by a person: the site on a port of 127.0.0.1, and an event that is set when the person ends the visit."""

    def __init__(self, database: Database) -> None:
        self.finished = threading.Event()
        self._database, self._site = database, make_app(database)

    @contextmanager
    def served(self, port: int = 0) -> Generator[str]:
        """Serve the site, and yield its address; port 0 is one that is free.

        Raises:
            ParamsError: the port can't be had.
        """
        import uvicorn

        listening = socket.socket()
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise ParamsError(
                f"port {port} of {HOST}: {error.strerror}; choose another, or 0 for a free one"
            ) from error
        config = uvicorn.Config(
            self._answer, lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False,
            interface="asgi3", timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()
            listening.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._site(scope, receive, send)
        if self._database.session().finished:
            self.finished.set()
