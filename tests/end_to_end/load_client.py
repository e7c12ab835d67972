"""A load of equal requests over connections that stay open, by a client that costs next to nothing.

    load_client.py URL TOKEN MODEL COUNT CONNECTIONS [stream]

Prints ``{"seconds": …}``. Ends with an error if an answer is not a 200, or after a minute.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from functools import partial
from urllib.parse import urlsplit

_SECONDS_AT_THE_MOST = 60


class Connection(asyncio.Protocol):
    """Sends its requests one after another and reads no more of an answer than where it ends."""

    def __init__(self, request: bytes, count: int, done: asyncio.Future[None]) -> None:
        self._request, self._left, self._done = request, count, done
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Send the next request when an answer is whole."""
        self._buffer += data
        if not self._is_whole():
            return
        if not self._buffer.startswith(b"HTTP/1.1 200"):
            self._done.set_exception(RuntimeError(self._buffer[:2000].decode()))
            self._transport.abort()
            return
        self._buffer = b""
        self._left -= 1
        if self._left:
            self._transport.write(self._request)
        else:
            self._done.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail if there is something left to do."""
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the connection was closed early"))

    def _is_whole(self) -> bool:
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return False
        _, name, rest = head.lower().partition(b"content-length:")
        if name:
            return len(body) >= int(rest.split(b"\r\n", 1)[0])
        return body.endswith(b"\r\n0\r\n\r\n")


def request_bytes(url: str, token: str, model: str, *, stream: bool) -> bytes:
    """Return one whole chat request."""
    parts = urlsplit(url)
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    content = json.dumps(body | ({"stream": True} if stream else {})).encode()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def _itself(connection: Connection) -> Connection:
    return connection


async def run(url: str, request: bytes, count: int, connections: int) -> float:
    """Send so many requests and return how many seconds they took."""
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    began = time.perf_counter()
    ends = []
    for i in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        share = count // connections + (i < count % connections)
        connection = Connection(request, share, done)
        await loop.create_connection(partial(_itself, connection), host, port)
        ends.append(done)
    async with asyncio.timeout(_SECONDS_AT_THE_MOST):
        await asyncio.gather(*ends)
    return time.perf_counter() - began


def main() -> None:
    """Read the arguments, run the load, print the result."""
    url, token, model, count, connections, *rest = sys.argv[1:]
    request = request_bytes(url, token, model, stream=rest == ["stream"])
    seconds = asyncio.run(run(url, request, int(count), int(connections)))
    sys.stdout.write(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
