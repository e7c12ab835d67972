"""A real uvicorn gateway around one route, and a real upstream whose every byte a test decides."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import uvicorn

from gateway_core.errors import (
    CallerError,
    GatewayError,
    ResourceNotFound,
    TokenRejected,
    UpstreamFailed,
)
from gateway_core.headers import first
from gateway_core.proxy.exchange import Exchange
from gateway_core.proxy.operations import BodyKind, Operation
from gateway_core.rates import Quota

Answer = Callable[["Call", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Call:
    """A request as the upstream saw it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    reader: asyncio.StreamReader
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    async def read_chunked(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readline(), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()


@dataclass
class Upstream:
    """An HTTP/1.1 server on a loopback port; ``answer`` is the test's own."""

    url: str = ""
    answer: Answer | None = None
    calls: list[Call] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    reads_body: bool = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                await self._serve_one(line, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.gone.set()

    async def _serve_one(
        self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method, target, _ = line.decode().split()
        headers = []
        while (header := await reader.readline()) not in (b"\r\n", b""):
            name, _, value = header.decode().partition(":")
            headers.append((name.lower(), value.strip()))
        call = Call(method, target, headers, reader)
        length = int(call.header("content-length") or 0)
        if length and self.reads_body:
            call.body = await reader.readexactly(length)
        self.calls.append(call)
        assert self.answer is not None
        await self.answer(call, writer)
        await writer.drain()


def reply(
    status: int = 200, body: Any = None, content_type: str = "application/json", **extra: str
) -> Answer:
    """An answer of one piece with a Content-Length."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(_call: Call, writer: asyncio.StreamWriter) -> None:
        fields = {"content-type": content_type, "content-length": str(len(content))}
        fields |= {name.replace("_", "-"): value for name, value in extra.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + content)

    return answer


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


@dataclass(frozen=True)
class Somebody:
    user_id: UUID
    scopes: frozenset[str] | None = None
    stands_until: float = math.inf
    api_key_id: UUID | None = None


TOKENS = {
    b"good": Somebody(UUID(int=1)),
    b"narrow": Somebody(UUID(int=1), frozenset({"other"})),
}


async def identify(exchange: Exchange) -> Somebody:
    token = (first(exchange.request_headers, b"authorization") or b"").removeprefix(b"Bearer ")
    if token not in TOKENS:
        raise TokenRejected("The token is not valid.")
    return TOKENS[token]


async def authorize(exchange: Exchange) -> None:
    exchange.headers["authorization"] = "Bearer ours"


async def quota(_exchange: Exchange) -> Quota:
    return Quota(name="test", per_hour=3600, burst=1000)


async def mend(_exchange: Exchange) -> bool:
    return False


def translate(_exchange: Exchange, status: int, _body: bytes, *_rest: Any) -> GatewayError:
    if status in {400, 404, 422}:
        return CallerError(status=status)
    return UpstreamFailed(f"upstream said {status}")


def refuse(_method: str, path: str, _allowed: frozenset[str]) -> GatewayError:
    return ResourceNotFound(f"no {path}")


OPERATIONS = (
    Operation(
        name="say",
        method="POST",
        path="/say",
        upstream_path="/v1/say",
        body=BodyKind.JSON,
        max_bytes=2000,
        streams=True,
    ),
    Operation(name="thing", method="GET", path="/things/{thing_id}"),
    Operation(name="active", method="GET", path="/things/active"),
    Operation(
        name="upload",
        method="POST",
        path="/things/{thing_id}/upload",
        body=BodyKind.FORM,
        max_bytes=2 * 1024**3,
    ),
    Operation(name="make", method="POST", path="/things", body=BodyKind.JSON, must_finish=True),
)


@dataclass
class Knobs:
    """What a test may turn on the route before its first request."""

    first_byte: float = 5
    idle: float = 5
    total: float = 60
    max_concurrent: int = 100
    hooks: dict[str, Any] = field(default_factory=dict)


@dataclass
class Gateway:
    url: str
    client: httpx.AsyncClient

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


@contextlib.asynccontextmanager
async def serving(application: Any) -> AsyncIterator[str]:
    """Run an ASGI application under a real uvicorn in this loop."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        application, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    task = asyncio.ensure_future(server._serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await task
