"""A load balancer as clouds have them: it passes connections on to replicas that are ready.

It looks at each replica's readiness every so often, and knows nothing of HTTP besides.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import Final

import aiohttp

from gateway_core.tasks import spawn

_LOOK_SECONDS: Final = 0.25
_PIECE_BYTES: Final = 64 * 1024


class Balancer:
    """Listens on a free port of this machine.

    Args:
        ports: of the replicas.

    Attributes:
        url: without a path.
        ready: ports of those that are.
        unserved: connections for which there was none.
    """

    def __init__(self, ports: list[int]) -> None:
        self.url = ""
        self.ready: set[int] = set()
        self.unserved = 0
        self._ports = ports
        self._turns = itertools.count()

    async def start(self) -> None:
        """Begin, with at least one replica that is ready."""
        server = await asyncio.start_server(self._take_beside, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for port in self._ports:
            spawn(self._watch(port))
        while not self.ready:
            await asyncio.sleep(_LOOK_SECONDS)

    async def _watch(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}/api/v1/system/ready"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while True:
                try:
                    async with session.get(url) as answer:
                        is_ready = answer.status == 200
                except (aiohttp.ClientError, TimeoutError):
                    is_ready = False
                (self.ready.add if is_ready else self.ready.discard)(port)
                await asyncio.sleep(_LOOK_SECONDS)

    def _take_beside(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spawn(self._take(reader, writer))

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in self._choice():
            with suppress(OSError):
                there = await asyncio.open_connection("127.0.0.1", port)
                break
        else:
            self.unserved += 1
            writer.transport.abort()
            return
        await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))

    def _choice(self) -> list[int]:
        """Return those that are ready, another one first each time."""
        ready = sorted(self.ready)
        first = next(self._turns) % len(ready) if ready else 0
        return [*ready[first:], *ready[:first]]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.close()
