"""Queue, breaker, retry budget and memory as a caller feels them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from gateway_core.errors import UpstreamUnreachable
from gateway_core.http import UpstreamClient
from gateway_core.proxy import guard
from gateway_core.room import USERS
from gateway_core.tasks import cancel, spawn
from gateway_core.upstream import Timeouts, with_limits
from gateway_core.upstream import Upstream as Service
from tests.gateway_core.proxy import loopback
from tests.gateway_core.proxy.loopback import STREAM_HEAD, Call, Somebody, chunk, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.gateway_core.proxy.loopback import Gateway, Knobs, Upstream

THING = "/api/v1/test/things/7"
SAY = "/api/v1/test/say"
THRESHOLD = 4


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture(autouse=True)
def _tight(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CIRCUIT_BREAKER_FAILURE_THRESHOLD = THRESHOLD
    settings.CIRCUIT_BREAKER_PROBES = 2
    somebody = {f"u{number}".encode(): Somebody(UUID(int=number)) for number in range(100, 120)}
    monkeypatch.setattr(loopback, "TOKENS", {**loopback.TOKENS, **somebody})


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


async def fail_for_many(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = reply(500, {})
    for number in range(THRESHOLD):
        assert code(await gateway.client.get(THING, headers=as_user(number)))[0] == 502


async def test_leaves_an_upstream_alone_that_fails_for_many_and_says_so(
    gateway: Gateway, upstream: Upstream
) -> None:
    await fail_for_many(gateway, upstream)
    calls = len(upstream.calls)

    answers = [await gateway.client.get(THING) for _ in range(20)]

    assert {code(answer) for answer in answers} == {(503, "upstream_circuit_open")}
    assert all(50 < int(answer.headers["retry-after"]) <= 60 for answer in answers)
    assert len(upstream.calls) == calls


async def test_tries_again_with_so_many_probes_and_goes_on(
    gateway: Gateway, upstream: Upstream, settings: Any
) -> None:
    settings.CIRCUIT_BREAKER_RECOVERY_TIMEOUT = 0.05
    await fail_for_many(gateway, upstream)
    calls = len(upstream.calls)
    may_answer = asyncio.Event()

    async def held(call: Call, writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        await reply(body={})(call, writer)

    upstream.answer = held
    await asyncio.sleep(0.05)
    crowd = [
        asyncio.ensure_future(gateway.client.get(THING, headers=as_user(number % 10)))
        for number in range(30)
    ]
    async with asyncio.timeout(5):
        while sum(one.done() for one in crowd) < 28:
            await asyncio.sleep(0.005)
    assert len(upstream.calls) == calls + 2
    may_answer.set()
    statuses = [answer.status_code for answer in await asyncio.gather(*crowd)]
    assert sorted(statuses) == [200] * 2 + [503] * 28
    async with asyncio.timeout(5):
        while (await gateway.client.get(THING)).status_code != 200:
            await asyncio.sleep(0.005)


async def test_closes_again_by_streams_that_have_begun_well(
    gateway: Gateway, upstream: Upstream, settings: Any
) -> None:
    settings.CIRCUIT_BREAKER_RECOVERY_TIMEOUT = 0.05
    await fail_for_many(gateway, upstream)
    may_end = asyncio.Event()

    async def stream(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        await may_end.wait()
        writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))

    upstream.answer = stream
    await asyncio.sleep(0.05)
    calls = len(upstream.calls)
    streams = [
        asyncio.ensure_future(gateway.client.post(SAY, json={}, headers=as_user(number)))
        for number in range(2)
    ]
    async with asyncio.timeout(5):
        while len(upstream.calls) < calls + 2:
            await asyncio.sleep(0.005)
        upstream.answer = reply(body={})
        while (await gateway.client.get(THING, headers=as_user(3))).status_code != 200:
            await asyncio.sleep(0.005)
    assert not any(one.done() for one in streams)
    may_end.set()
    assert [(await one).status_code for one in streams] == [200, 200]


async def test_one_user_alone_can_not_open_it(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = reply(500, {})
    for _ in range(3 * THRESHOLD):
        await gateway.client.get(THING)
    upstream.answer = reply(body={})
    assert (await gateway.client.get(THING, headers=as_user(1))).status_code == 200


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_an_answer_that_is_the_callers_fault_is_none_of_the_upstreams(
    gateway: Gateway, upstream: Upstream, status: int
) -> None:
    upstream.answer = reply(status, {})
    for number in range(3 * THRESHOLD):
        await gateway.client.get(THING, headers=as_user(number))
    upstream.answer = reply(body={})
    assert (await gateway.client.get(THING)).status_code == 200


async def test_an_upstream_that_is_too_slow_counts_as_failing(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    knobs.first_byte = 0.05

    async def never(call: Call, _writer: asyncio.StreamWriter) -> None:
        await call.reader.read()

    upstream.answer = never
    answers = await asyncio.gather(
        *(gateway.client.get(THING, headers=as_user(number)) for number in range(THRESHOLD))
    )
    assert {code(answer) for answer in answers} == {(504, "upstream_timeout")}
    assert code(await gateway.client.get(THING)) == (503, "upstream_circuit_open")


async def test_a_client_that_does_not_read_is_not_the_upstreams_failure(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    knobs.idle = 0.2
    torrents = upstream.answer = Torrents()
    writers = [(await ask(gateway, number))[1] for number in range(THRESHOLD)]
    async with asyncio.timeout(10):
        while torrents.ended < THRESHOLD:
            await asyncio.sleep(0.01)
    for writer in writers:
        writer.close()
    upstream.answer = reply(body={})
    assert (await gateway.client.get(THING)).status_code == 200


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
    async with asyncio.timeout(5):
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
    async with asyncio.timeout(5):
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
    async with asyncio.timeout(2):
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


class Flaky(UpstreamClient):
    """Has no connection for the first calls: a refused one can't be had for just these."""

    refusals = 0
    tries = 0

    async def open(self, *arguments: Any, **named: Any) -> Any:
        self.tries += 1
        if self.tries <= self.refusals:
            raise UpstreamUnreachable
        return await super().open(*arguments, **named)


@pytest.fixture
async def flaky(upstream: Upstream, knobs: Knobs) -> AsyncIterator[Flaky]:
    client = Flaky(
        name=f"flaky-{uuid4()}", base_url=upstream.url, connect_timeout=1, max_connections=9
    )
    knobs.hooks["upstream"] = with_limits(
        client, slots=lambda: 9, timeouts=lambda: Timeouts(first_byte=5, idle=5, total=5)
    )
    upstream.answer = reply(body={})
    yield client
    await client.close()


async def test_asks_once_more_when_there_was_no_connection(gateway: Gateway, flaky: Flaky) -> None:
    flaky.refusals = 1
    assert (await gateway.client.post(SAY, json={})).status_code == 200
    assert flaky.tries == 2
    flaky.refusals = 4
    assert code(await gateway.client.post(SAY, json={})) == (503, "upstream_unreachable")
    assert flaky.tries == 4


async def test_repeats_no_more_than_a_part_of_all_calls(
    gateway: Gateway, flaky: Flaky, settings: Any
) -> None:
    settings.CIRCUIT_BREAKER_FAILURE_THRESHOLD = 10_000
    flaky.refusals = 10_000
    for _ in range(40):
        await gateway.client.get(THING)
    assert 40 + 10 <= flaky.tries <= 40 + 10 + 5


async def test_sends_nothing_twice_that_may_have_been_done(
    gateway: Gateway, upstream: Upstream
) -> None:
    async def cut(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.close()

    upstream.answer = cut
    assert code(await gateway.client.post(SAY, json={})) == (502, "upstream_interrupted")
    assert len(upstream.calls) == 1


async def test_refuses_bodies_that_there_is_no_memory_for(
    gateway: Gateway, upstream: Upstream, settings: Any
) -> None:
    upstream.answer = reply(body={})
    settings.MAX_HELD_BYTES = 1000
    refused = await gateway.client.post(SAY, json={"text": "x" * 1000})
    assert code(refused) == (503, "gateway_overloaded")
    assert (await gateway.client.post(SAY, json={"text": "x" * 400})).status_code == 200
    assert USERS.held() == 0


async def test_leaves_memory_to_others_whatever_one_user_has_under_way(
    gateway: Gateway, upstream: Upstream, settings: Any
) -> None:
    settings.MAX_HELD_BYTES = 1000
    go_on = asyncio.Event()

    async def answer(call: Call, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        await reply(body={})(call, writer)

    upstream.answer = answer
    first = asyncio.ensure_future(
        gateway.client.post(SAY, json={"text": "x" * 400}, headers=as_user(0))
    )
    async with asyncio.timeout(5):
        while not upstream.calls:
            await asyncio.sleep(0.01)

    large = await gateway.client.post(SAY, json={"text": "x" * 200}, headers=as_user(0))
    assert code(large) == (503, "gateway_overloaded")
    second = asyncio.ensure_future(
        gateway.client.post(SAY, json={"text": "x" * 200}, headers=as_user(1))
    )
    async with asyncio.timeout(5):
        while len(upstream.calls) < 2:
            await asyncio.sleep(0.01)
    go_on.set()
    assert [(await one).status_code for one in (first, second)] == [200, 200]
    assert USERS.held() == 0


async def test_refuses_documents_that_there_is_no_memory_for(
    gateway: Gateway, upstream: Upstream, knobs: Knobs, settings: Any
) -> None:
    async def reshape(document: Any) -> Any:
        return document

    knobs.hooks["reshape"] = reshape
    settings.MAX_HELD_BYTES = 1000
    upstream.answer = reply(body={"text": "x" * 1000})
    assert code(await gateway.client.get(THING)) == (503, "gateway_overloaded")
    upstream.answer = reply(body={})
    assert (await gateway.client.get(THING)).status_code == 200
    assert USERS.held() == 0


async def test_takes_no_upstream_for_slow_whose_client_sends_slowly(
    gateway: Gateway, upstream: Upstream, knobs: Knobs, settings: Any
) -> None:
    settings.CIRCUIT_BREAKER_SLOW_SECONDS = 0.03
    ordinary = knobs.hooks["limited"]
    quick = with_limits(
        ordinary.client, slots=lambda: 10, timeouts=ordinary.timeouts, work="quick", is_quick=True
    )
    knobs.hooks["upstream"] = quick

    async def answer(call: Call, writer: asyncio.StreamWriter) -> None:
        async for _ in call.read_chunked():
            pass
        await reply(body={})(call, writer)

    async def form() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        await asyncio.sleep(0.05)
        yield b"text\r\n--b--\r\n"

    upstream.answer = answer
    sent = await gateway.client.post(
        f"{THING}/upload",
        content=form(),
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert sent.status_code == 200
    assert quick.breaker.rates() == (1, 0.0, 0.0)
