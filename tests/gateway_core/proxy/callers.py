"""Many users of the loopback gateway, and what they ask for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.gateway_core.proxy.loopback import STREAM_HEAD, Call, chunk

if TYPE_CHECKING:
    import httpx

    from tests.gateway_core.proxy.loopback import Gateway

THING = "/api/v1/test/things/7"
SAY = "/api/v1/test/say"


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def as_user(number: int) -> dict[str, str]:
    return {"authorization": f"Bearer u{100 + number}"}


async def ask(gateway: Gateway, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a stream over a connection of its own, of which nothing is read yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    token = as_user(number)["authorization"]
    head = f"POST {SAY} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n"
    writer.write(f"{head}content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}".encode())
    return reader, writer


class Torrents:
    """Answers with streams that never end of themselves, and go as fast as they are read."""

    ended = 0

    async def __call__(self, _call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        try:
            while True:
                writer.write(chunk(b"data: " + b"x" * 65_536 + b"\n\n"))
                await writer.drain()
        except ConnectionError:
            self.ended += 1
            raise
