"""The connections of a test's own TCP server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Connections:
    """What ``asyncio.start_server`` calls for each connection; closes those that are left.

    ``asyncio.Server.close`` leaves them open, and a handler that is cancelled before its first
    step can't close its own: the garbage collector would find them during another test.

    Args:
        handler: serves one connection.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._open: dict[asyncio.Future[None], asyncio.StreamWriter] = {}

    def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._handler(reader, writer))
        self._open[task] = writer
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        writer = self._open.pop(task)
        if not task.cancelled() and (error := task.exception()):
            task.get_loop().call_exception_handler(
                {"message": "a connection's handler failed", "exception": error}
            )
        writer.close()

    async def end(self) -> None:
        """End all handlers and their connections, whatever was still to be sent."""
        tasks, writers = list(self._open), list(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*(one.wait_closed() for one in writers), return_exceptions=True)


@asynccontextmanager
async def tcp_server(handler: Handler) -> AsyncIterator[int]:
    """Serve on a free port of loopback, which it yields, for as long as the block lasts."""
    connections = Connections(handler)
    server = await asyncio.start_server(connections, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await connections.end()
    await server.wait_closed()
