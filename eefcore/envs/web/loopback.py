"""The sites of all open tabs on one port of 127.0.0.1; each is reached only by requests that carry the key of its tab."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from uuid import uuid4

from eefcore.envs.web.address import HOST
from eefcore.envs.web.in_process import ASGIApp

KEY = "x-eefcore-tab"
"""The header by which a request says whose site it asks for. A browser's context sends it with every request."""


class Loopback:
    """An HTTP server in the running event loop. Another program on this machine, which has no key, is told that there is nothing."""

    def __init__(self) -> None:
        import uvicorn

        self._sites: dict[bytes, ASGIApp] = {}
        self._socket = socket.socket()
        self._socket.bind((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            self._answer, lifespan="off", log_config=None, access_log=False, ws="none", http="h11",
            server_header=False, date_header=False, proxy_headers=False, interface="asgi3", timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._work = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    def add(self, app: ASGIApp) -> str:
        """Serve a site from now on, and return its key."""
        key = uuid4().hex
        self._sites[key.encode()] = app
        return key

    def remove(self, key: str) -> None:
        """Serve a site no longer."""
        self._sites.pop(key.encode(), None)

    async def close(self) -> None:
        """End the server and its connections."""
        self._server.should_exit = True
        await self._work
        self._socket.close()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        name = KEY.encode()
        key = next((value for header, value in scope["headers"] if header == name), b"")
        app = self._sites.get(key, _nothing)
        headers = [header for header in scope["headers"] if header[0] != name]
        await app({**scope, "headers": headers}, receive, send)


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
