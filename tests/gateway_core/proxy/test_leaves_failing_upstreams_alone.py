"""The breaker as a caller feels it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway_core.upstream import with_limits
from tests.gateway_core.proxy.callers import SAY, THING, Torrents, as_user, ask, code
from tests.gateway_core.proxy.loopback import STREAM_HEAD, Call, chunk, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway_core.proxy.loopback import Gateway, Knobs, Upstream

THRESHOLD = 4
pytestmark = pytest.mark.usefixtures("many_users")


@pytest.fixture(autouse=True)
def _tight(settings: Any) -> None:
    settings.CIRCUIT_BREAKER_FAILURE_THRESHOLD = THRESHOLD
    settings.CIRCUIT_BREAKER_PROBES = 2


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
    async with asyncio.timeout(30):
        while sum(one.done() for one in crowd) < 28:
            await asyncio.sleep(0.005)
    assert len(upstream.calls) == calls + 2
    may_answer.set()
    statuses = [answer.status_code for answer in await asyncio.gather(*crowd)]
    assert sorted(statuses) == [200] * 2 + [503] * 28
    async with asyncio.timeout(30):
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
    async with asyncio.timeout(30):
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
