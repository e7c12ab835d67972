"""Load balancers as clouds have them: of connections, and of requests, like nginx.

Both look at each replica's readiness every so often, and pass on to those that are ready.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web

from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOK_SECONDS: Final = 0.25
_PIECE_BYTES: Final = 64 * 1024
_OF_A_CONNECTION: Final = frozenset({"connection", "keep-alive", "transfer-encoding"})
# In answers of 502: the replica has closed its connection before the first byte of an answer.
CLOSED: Final = "x-closed-unanswered"


class Balancer:
    """Passes on connections, knowing nothing of HTTP; listens on a free port of this machine.

    Args:
        ports: of the replicas.

    Attributes:
        url: without a path.
        ready: ports of those that are.
        unserved: connections or requests for which there was none.
    """

    def __init__(self, ports: list[int]) -> None:
        self.url = ""
        self.ready: set[int] = set()
        self.unserved = 0
        self._ports = ports
        self._turns = itertools.count()

    async def start(self) -> None:
        """Begin, with at least one replica that is ready."""
        self.url = f"http://127.0.0.1:{await self._listen()}"
        for port in self._ports:
            spawn(self._watch(port))
        while not self.ready:
            await asyncio.sleep(_LOOK_SECONDS)

    async def end(self) -> None:
        """Close what is open to replicas."""

    async def _listen(self) -> int:
        server = await asyncio.start_server(self._take_beside, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

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


class RequestBalancer(Balancer):
    """Passes on requests, over kept connections to the replicas.

    One that a replica closes before any byte of the answer costs nothing where the request may be
    repeated: aiohttp does that by itself for idempotent methods on a connection that was used
    before, as nginx does. Others are answered 502.
    """

    async def _listen(self) -> int:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
        )
        runner = web.ServerRunner(web.Server(self._answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        return port

    async def end(self) -> None:
        """Close what is open to replicas."""
        await self._session.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        for port in self._choice():
            try:
                async with self._session.request(
                    request.method,
                    f"http://127.0.0.1:{port}{request.path_qs}",
                    headers=_passed_on(request.headers),
                    data=body,
                ) as answer:
                    return await _pass_back(request, answer)
            except aiohttp.ClientConnectorError:
                continue
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                return web.Response(status=502, headers={CLOSED: "1"})
        self.unserved += 1
        return web.Response(status=502)


async def _pass_back(
    request: web.BaseRequest, answer: aiohttp.ClientResponse
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers))
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    except aiohttp.ClientError:
        if request.transport is not None:
            request.transport.abort()
    return response


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in headers.items() if name.lower() not in _OF_A_CONNECTION}


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.close()
