from __future__ import annotations

import asyncio
import gc
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from gateway_core.http import UpstreamClient
from tests.connections import tcp_server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


def test_goes_on_in_another_event_loop_and_leaves_nothing_open_in_the_first() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    client = UpstreamClient(
        name="test",
        base_url=f"http://127.0.0.1:{server.server_port}",
        connect_timeout=1,
        max_connections=2,
    )

    async def fetch(*, last: bool) -> int:
        status, _ = await client.fetch("GET", "/", headers={})
        if last:
            await client.close()
        return status

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asyncio.run(fetch(last=False)) == 200
        assert asyncio.run(fetch(last=True)) == 200
        gc.collect()
    server.shutdown()
    server.server_close()


async def test_leaves_an_answer_under_way_alone_while_another_loop_asks() -> None:
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 4\r\nconnection: close\r\n\r\n")
        if path == b"/slow":
            writer.write(b"12")
            await go_on.wait()
            writer.write(b"34")
        else:
            writer.write(b"1234")
        await writer.drain()

    async def ask() -> tuple[int, object]:
        try:
            return await client.fetch("GET", "/quick", headers={})
        finally:
            await client.close()

    async with tcp_server(serve) as port:
        client = UpstreamClient(
            name="test", base_url=f"http://127.0.0.1:{port}", connect_timeout=1, max_connections=2
        )
        response = await client.open("GET", "/slow", headers={})
        pieces = response.chunks()
        assert await anext(pieces) == b"12"
        assert await asyncio.to_thread(asyncio.run, ask()) == (200, 1234)
        go_on.set()
        assert b"".join([piece async for piece in pieces]) == b"34"
        response.close(reusable=False)
        await client.close()
