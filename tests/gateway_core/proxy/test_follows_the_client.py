"""Back-pressure both ways, and the client's leaving."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import TYPE_CHECKING

import pytest

from gateway_core import access
from gateway_core.proxy import relay
from tests.gateway_core.proxy.loopback import STREAM_HEAD, Call, chunk, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway_core.proxy.loopback import Gateway, Knobs, Upstream

MEBIBYTE = 1024 * 1024
HEAD = "POST /api/v1/test/{} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\n"


async def send(
    gateway: Gateway, path: str, body: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=MEBIBYTE)
    head = HEAD.format(path) + f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    writer.write(head.encode() + b"\r\n" + body)
    return reader, writer


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def test_closes_the_upstream_at_once_when_the_client_leaves_a_stream(
    gateway: Gateway, upstream: Upstream
) -> None:
    async def endless(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        while not upstream.gone.is_set():
            writer.write(chunk(b"data: 1\n\n"))
            await writer.drain()
            await asyncio.sleep(0.01)

    upstream.answer = endless
    reader, writer = await send(gateway, "say", b"{}")
    await reader.readuntil(b"data: 1")
    writer.close()
    left = time.monotonic()
    await asyncio.wait_for(upstream.gone.wait(), 30)
    assert time.monotonic() - left < 3  # milliseconds, on a machine that does nothing else


async def test_closes_the_upstream_when_the_client_leaves_before_the_first_byte(
    gateway: Gateway, upstream: Upstream
) -> None:
    called = asyncio.Event()

    async def silent(call: Call, _writer: asyncio.StreamWriter) -> None:
        called.set()
        await call.reader.read()
        upstream.gone.set()

    upstream.answer = silent
    _, writer = await send(gateway, "say", b"{}")
    await called.wait()
    writer.close()
    await asyncio.wait_for(upstream.gone.wait(), 30)


async def test_finishes_an_operation_that_creates_something_though_the_client_left(
    knobs: Knobs, upstream: Upstream, gateway: Gateway
) -> None:
    called, release, seen = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(call: Call, writer: asyncio.StreamWriter) -> None:
        called.set()
        await release.wait()
        await reply(body={"id": "new"})(call, writer)

    async def record(document: object) -> object:
        seen.set()
        return document

    knobs.hooks["reshape"] = record
    upstream.answer = slow
    _, writer = await send(gateway, "things", b"{}")
    await called.wait()
    writer.close()
    await writer.wait_closed()
    release.set()
    await asyncio.wait_for(seen.wait(), 30)


async def test_stops_reading_the_upstream_when_the_client_reads_nothing(
    gateway: Gateway, upstream: Upstream
) -> None:
    sent = 0

    async def flood(_call: Call, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        piece = chunk(b"data: " + b"x" * 65536 + b"\n\n")
        writer.write(STREAM_HEAD)
        while sent < 1024 * MEBIBYTE:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    upstream.answer = flood
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    writer.write(
        (
            HEAD.format("say") + "content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        ).encode()
    )
    before, still = -1, 0
    while still < 10:
        await asyncio.sleep(0.02)
        still = still + 1 if sent == before else 0
        before = sent
    assert 0 < sent < 32 * MEBIBYTE  # what fits into the sockets' buffers on the way
    writer.close()
    await asyncio.wait_for(upstream.gone.wait(), 30)
    assert reader is not None


async def test_streams_an_upload_of_one_gigabyte_in_constant_memory(
    gateway: Gateway, upstream: Upstream
) -> None:
    received = 0
    size = 1024 * MEBIBYTE

    async def swallow(call: Call, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        async for piece in call.read_chunked():
            received += len(piece)
        await reply(body={"ok": True})(call, writer)

    async def form() -> AsyncIterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
        piece = b"\x5a" * (256 * 1024)
        for _ in range(size // len(piece)):
            yield piece
        yield b"\r\n--b--\r\n"

    upstream.answer = swallow
    before = peak_mebibytes()
    answer = await gateway.client.post(
        "/api/v1/test/things/7/upload",
        content=form(),
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert answer.json() == {"ok": True}
    assert size < received < size + 1024
    assert peak_mebibytes() - before < 64


async def test_stops_an_upload_whose_client_leaves_in_the_middle(
    gateway: Gateway, upstream: Upstream
) -> None:
    begun = asyncio.Event()

    async def swallow(call: Call, _writer: asyncio.StreamWriter) -> None:
        async for _ in call.read_chunked():
            begun.set()

    upstream.answer = swallow
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        (
            HEAD.format("things/7/upload")
            + "content-type: multipart/form-data; boundary=b\r\ncontent-length: 900000\r\n\r\n"
            + '--b\r\ncontent-disposition: form-data; name="file"\r\n\r\nsome'
        ).encode()
    )
    await begun.wait()
    writer.close()
    await asyncio.wait_for(upstream.gone.wait(), 30)


async def test_refuses_a_form_that_breaks_off(gateway: Gateway, upstream: Upstream) -> None:
    async def swallow(call: Call, _writer: asyncio.StreamWriter) -> None:
        async for _ in call.read_chunked():
            pass

    upstream.answer = swallow
    answer = await gateway.client.post(
        "/api/v1/test/things/7/upload",
        content=b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\nsome',
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "caller_request_malformed")


async def test_settles_once_before_the_last_byte_goes_out(
    gateway: Gateway, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(access, "sinks", [lambda record: order.append(f"kept {record.bytes_out}")])
    send_body = relay._write

    async def watched(*args: object, **kwargs: object) -> None:
        await send_body(*args, **kwargs)  # type: ignore[arg-type]
        order.append("sent")

    monkeypatch.setattr(relay, "_write", watched)
    upstream.answer = reply(body={"said": "hello"})
    await gateway.client.post("/api/v1/test/say", json={})
    assert order == ["kept 17", "sent"]


async def test_counts_a_stream_as_answered_when_the_client_leaves_at_its_last_frame(
    gateway: Gateway, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[str] = []
    monkeypatch.setattr(access, "sinks", [lambda record: codes.append(record.error_code)])

    async def lingers(call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n") + chunk(b"data: [DONE]\n\n"))
        await call.reader.read()

    upstream.answer = lingers
    reader, writer = await send(gateway, "say", b"{}")
    await reader.readuntil(b"[DONE]")
    writer.close()
    await asyncio.wait_for(upstream.gone.wait(), 30)
    assert codes == [""]
