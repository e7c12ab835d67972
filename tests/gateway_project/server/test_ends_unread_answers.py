"""Who asks and does not read what is answered keeps no connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

import pytest
from uvicorn.server import ServerState

from gateway_project.server.config import Bounds, Config, Farewell
from gateway_project.server.protocol import BoundedProtocol

if TYPE_CHECKING:
    from gateway_core.asgi import Receive, Scope, Send

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
PIECE = bytes(64 * 1024)
BOUNDS = Bounds(
    connections=10,
    target_bytes=1000,
    head_bytes=10_000,
    headers=10,
    head_seconds=10,
    keep_alive_seconds=75,
    message_bytes=1000,
)


async def _much(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(500):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.fixture
async def state() -> ServerState:
    return ServerState()


@pytest.fixture
async def client(state: ServerState) -> AsyncIterator[socket.socket]:
    farewell = Farewell(notice_seconds=0, drain_seconds=0)
    config = Config(host="127.0.0.1", port=0, bounds=BOUNDS, farewell=farewell)
    config.loaded_app, config.loaded = _much, True
    config.encoded_headers, config.ws_protocol_class, config.interface = [], None, "asgi3"
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BoundedProtocol(config, state, {}), "127.0.0.1", 0)
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        await loop.sock_connect(one, server.sockets[0].getsockname())
        yield one
    server.close()
    for connection in list(state.connections):
        cast("BoundedProtocol", connection).transport.abort()
    await asyncio.sleep(0)


async def _stuck(state: ServerState) -> BoundedProtocol:
    async with asyncio.timeout(5):
        while True:
            await asyncio.sleep(0.01)
            for connection in state.connections:
                if cast("BoundedProtocol", connection).transport.get_write_buffer_size():
                    return cast("BoundedProtocol", connection)


async def test_ends_a_connection_on_which_nothing_is_read(
    state: ServerState, client: socket.socket
) -> None:
    await asyncio.get_running_loop().sock_sendall(client, REQUEST)
    connection = await _stuck(state)
    now = 1000.0
    for seconds in (0, 30, 59):
        connection.look(now + seconds)
    await asyncio.sleep(0)
    assert state.connections

    connection.look(now + 61)
    async with asyncio.timeout(5):
        while state.connections or state.tasks:
            await asyncio.sleep(0.01)


async def test_goes_on_while_something_is_read(state: ServerState, client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, REQUEST)
    connection = await _stuck(state)
    now, left = 1000.0, connection.transport.get_write_buffer_size()
    connection.look(now)
    async with asyncio.timeout(5):
        while connection.transport.get_write_buffer_size() == left:
            await loop.sock_recv(client, 64 * 1024)
            await asyncio.sleep(0)
    connection.look(now + 61)
    await asyncio.sleep(0)
    assert state.connections
