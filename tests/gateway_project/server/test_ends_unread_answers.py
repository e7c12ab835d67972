"""Who asks and does not read what is answered keeps no connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.gateway_project.server.one_connection import REQUEST, Connection, connected

if TYPE_CHECKING:
    from gateway_core.asgi import Receive, Scope, Send

PIECE = bytes(64 * 1024)


async def _much(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(500):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _stick(connection: Connection) -> int:
    """Ask, and return how much is left to be read once the system takes no more of the answer."""
    await asyncio.get_running_loop().sock_sendall(connection.client, REQUEST)
    async with asyncio.timeout(30):
        while not (left := connection.server.transport.get_write_buffer_size()):
            await asyncio.sleep(0.01)
    return left


async def test_ends_a_connection_on_which_nothing_is_read() -> None:
    async with connected(_much) as connection:
        await _stick(connection)
        now = 1000.0
        for seconds in (0, 30, 59):
            connection.server.look(now + seconds)
        await asyncio.sleep(0)
        assert connection.state.connections

        connection.server.look(now + 61)
        await connection.ended()


async def test_goes_on_while_something_is_read() -> None:
    loop = asyncio.get_running_loop()
    async with connected(_much) as connection:
        now, left = 1000.0, await _stick(connection)
        connection.server.look(now)
        async with asyncio.timeout(30):
            while connection.server.transport.get_write_buffer_size() == left:
                await loop.sock_recv(connection.client, 64 * 1024)
                await asyncio.sleep(0)
        connection.server.look(now + 61)
        await asyncio.sleep(0)
        assert connection.state.connections
