"""The slots of an upstream, and the queue for them, as a caller feels them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway_core.proxy import guard
from gateway_core.tasks import cancel, spawn
from gateway_core.upstream import Upstream as Service
from tests.gateway_core.proxy.callers import THING, Torrents, as_user, ask
from tests.gateway_core.proxy.loopback import Call, chunk, reply

if TYPE_CHECKING:
    from tests.gateway_core.proxy.loopback import Gateway, Knobs, Upstream

pytestmark = pytest.mark.usefixtures("many_users")


async def read_slowly(reader: asyncio.StreamReader) -> None:
    while await reader.read(1024):
        await asyncio.sleep(0.02)


async def test_who_reads_slowly_gives_slots_to_others_who_wait(
    gateway: Gateway, upstream: Upstream, knobs: Knobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_CLIENT_SECONDS", 0.3)
    knobs.max_concurrent = 4
    knobs.idle = 60
    torrents = upstream.answer = Torrents()
    connections = [await ask(gateway, number) for number in (0, 0, 0, 1)]
    readers = [spawn(read_slowly(reader)) for reader, _ in connections]
    async with asyncio.timeout(30):
        while len(upstream.calls) < 4:
            await asyncio.sleep(0.01)
    # Nobody is in anybody's way before somebody waits, however slow they are.
    for _ in range(20):
        await asyncio.sleep(0.05)
    assert torrents.ended == 0

    upstream.answer = reply(body={})
    assert (await gateway.client.get(THING, headers=as_user(2))).status_code == 200
    assert not readers[3].done()
    for _, writer in connections:
        writer.close()
    await cancel(readers, 5)


async def test_who_uploads_slowly_gives_slots_to_others_who_wait(
    gateway: Gateway, upstream: Upstream, knobs: Knobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_CLIENT_SECONDS", 0.3)
    knobs.max_concurrent = 2

    async def take_in(call: Call, writer: asyncio.StreamWriter) -> None:
        async for _ in call.read_chunked():
            pass
        await reply(body={})(call, writer)

    upstream.answer = take_in
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    connections = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(2)]
    for _, writer in connections:
        writer.write(
            f"POST {THING}/upload HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\n"
            "content-type: multipart/form-data; boundary=b\r\ntransfer-encoding: chunked\r\n\r\n"
            "".encode()
            + chunk(part)
        )
    async with asyncio.timeout(30):
        while len(upstream.calls) < 2:
            await asyncio.sleep(0.01)

    upstream.answer = reply(body={})
    assert (await gateway.client.get(THING, headers=as_user(2))).status_code == 200
    answers = [spawn(reader.read(4096)) for reader, _ in connections]
    told, not_told = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert [one.result().startswith(b"HTTP/1.1 503 ") for one in told] == [True]
    await cancel(not_told, 5)
    for _, writer in connections:
        writer.close()


async def test_waits_for_its_turn_behind_a_full_upstream(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    knobs.max_concurrent = 1
    under_way = most = 0

    async def one(call: Call, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        await reply(body={})(call, writer)

    upstream.answer = one
    answers = await asyncio.gather(*(gateway.client.get(THING) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert most == 1


async def test_who_leaves_the_queue_is_not_sent_on(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    knobs.max_concurrent = 1
    release = asyncio.Event()

    async def held(call: Call, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await reply(body={})(call, writer)

    upstream.answer = held
    first = asyncio.ensure_future(gateway.client.get(THING))
    while not upstream.calls:
        await asyncio.sleep(0.005)
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"GET {THING} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\n\r\n".encode())
    service = _service(knobs)
    async with asyncio.timeout(30):
        while not service.bulkhead.waiting:
            await asyncio.sleep(0.005)
        writer.close()
        while service.bulkhead.waiting:
            await asyncio.sleep(0.005)
    release.set()
    assert (await first).status_code == 200
    assert len(upstream.calls) == 1


def _service(knobs: Knobs) -> Service:
    found = knobs.hooks["limited"]
    assert isinstance(found, Service)
    return found
