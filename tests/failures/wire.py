"""A wire to a server that can be broken on command, so that nothing has to be killed."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tests.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Coroutine

_PIECE_BYTES = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    """What is wrong with what stands behind a wire."""

    DOWN = "down"
    SLOW = "slow"
    HANGING = "hanging"
    RESET = "reset"
    GARBAGE = "garbage"
    OPEN = "open"  # away for so long that its circuit breaker has opened


class Wire:
    """Passes bytes on both ways, in a thread of its own, while it is entered.

    Args:
        target: URL of the server; ``url`` is the same over the wire.
        garbage: what it says in the place of the server.
        slow_seconds: how late it passes on each piece of an answer.
    """

    def __init__(self, target: str, *, garbage: bytes, slow_seconds: float) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._garbage = garbage
        self._slow_seconds = slow_seconds
        self._fault: Fault | None = None
        self._is_free = asyncio.Event()
        self._taken_in = Connections(self._accept)
        self._connections: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._socket = _bound(0)
        self._port = self._socket.getsockname()[1]
        login, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{login}{at}127.0.0.1:{self._port}").geturl()

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._socket.close()

    def breaks(self, fault: Fault) -> None:
        """Have it go wrong, for the connections there are and those that come."""
        self._run(self._break(fault))

    def mend(self) -> None:
        """Have it work again; what it has held back goes on."""
        self._run(self._mend())

    def _run(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._is_free.set()
        self._server = await asyncio.start_server(self._taken_in, sock=self._socket)

    async def _break(self, fault: Fault) -> None:
        self._fault = fault
        if fault is Fault.HANGING:
            self._is_free.clear()
        if fault is Fault.DOWN:
            self._server.close()
            # Bound and not listening: refused, and nobody else can have the port.
            self._socket = _bound(self._port)
            self._cut_all()

    async def _mend(self) -> None:
        if self._fault in {Fault.RESET, Fault.GARBAGE}:
            self._cut_all()
        if self._fault is Fault.DOWN:
            await self._listen()
        self._fault = None
        self._is_free.set()

    async def _end(self) -> None:
        self._server.close()
        await self._taken_in.end()

    def _cut_all(self) -> None:
        for connection in list(self._connections):
            connection.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on; when either side ends, both do."""
        try:
            server = await asyncio.open_connection(*self._target)
        except OSError:
            return
        connection = _Connection(writer, server[1])
        self._connections.add(connection)
        ways = (self._ask(reader, server[1]), self._answer(server[0], connection))
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._connections.discard(connection)
            connection.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_PIECE_BYTES):
                await self._is_free.wait()
                writer.write(data)
                await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_PIECE_BYTES):
                await self._is_free.wait()
                fault = self._fault
                if fault is Fault.SLOW:
                    await asyncio.sleep(self._slow_seconds)
                if fault is Fault.GARBAGE:
                    data = self._garbage
                if fault is Fault.RESET:
                    data = data[: len(data) // 2]
                connection.client.write(data)
                await connection.client.drain()
                if fault is Fault.RESET:
                    connection.cut()
                    return


class _Connection:
    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self._server = server

    def cut(self) -> None:
        """Reset it, as a peer does that has died."""
        end: socket.socket = self.client.get_extra_info("socket")
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.client.transport.abort()
        self._server.transport.abort()

    def close(self) -> None:
        self.client.close()
        self._server.close()


def _bound(port: int) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", port))
    return one
