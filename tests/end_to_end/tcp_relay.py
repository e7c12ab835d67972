"""A relay on the way to an upstream, to see when the gateway opens and closes connections."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from tests.connections import Connections


class TcpRelay:
    """Passes bytes on both ways, in a thread of its own, while it is entered.

    Args:
        target: base URL of the upstream; ``url`` is the relay's own.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections = Connections(self._accept)
        self.closed_connections = 0

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._connections, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection; when either side ends, both do."""
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
        try:
            ways = (_pass(reader, upstream_writer), _pass(upstream_reader, writer))
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self.closed_connections += 1
            upstream_writer.close()

    async def _end(self) -> None:
        self._server.close()
        await self._connections.end()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
