"""One connection to an application of a test's own, without a process around it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway_project.server.config import Bounds, Config, Farewell
from gateway_project.server.protocol import BoundedProtocol
from gateway_project.server.state import State

if TYPE_CHECKING:
    from gateway_core.asgi import Application, Receive, Scope, Send

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_BOUNDS = Bounds(
    connections=10,
    target_bytes=1000,
    head_bytes=10_000,
    headers=10,
    head_seconds=10,
    keep_alive_seconds=75,
    message_bytes=1000,
)


@dataclass
class Connection:
    """Both ends, and what the server knows of its connections."""

    client: socket.socket
    server: BoundedProtocol
    state: State

    async def ended(self) -> None:
        """Wait until the server has nothing left of it."""
        async with asyncio.timeout(30):
            while self.state.connections or self.state.tasks:
                await asyncio.sleep(0.01)


async def quick(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer at once."""
    head = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"ok", "more_body": False})


@asynccontextmanager
async def connected(application: Application) -> AsyncIterator[Connection]:
    state = State()
    farewell = Farewell(notice_seconds=0, drain_seconds=0, kept_seconds=0)
    config = Config(host="127.0.0.1", port=0, bounds=_BOUNDS, farewell=farewell)
    config.loaded_app, config.loaded = application, True
    config.encoded_headers, config.ws_protocol_class, config.interface = [], None, "asgi3"
    server = BoundedProtocol(config, state, {})
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: server, "127.0.0.1", 0)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, listener.sockets[0].getsockname())
        async with asyncio.timeout(30):
            while not state.connections:
                await asyncio.sleep(0)
        yield Connection(client, server, state)
    listener.close()
    server.transport.abort()
    await asyncio.sleep(0)
