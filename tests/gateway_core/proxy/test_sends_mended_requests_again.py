from __future__ import annotations

import asyncio

import pytest

from gateway_core.errors import AccountSuspended
from gateway_core.proxy.exchange import Exchange
from tests.gateway_core.proxy.loopback import (
    STREAM_HEAD,
    Call,
    Gateway,
    Knobs,
    Upstream,
    chunk,
    reply,
)

SAY = "/api/v1/test/say"


async def _renew(exchange: Exchange) -> bool:
    exchange.headers["authorization"] = "Bearer new"
    return True


async def _only_for_new(call: Call, writer: asyncio.StreamWriter) -> None:
    is_new = call.header("authorization") == "Bearer new"
    await reply(200 if is_new else 401, {"told": call.body.decode()})(call, writer)


async def test_sends_a_mended_request_once_more_whole(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    upstream.answer = _only_for_new
    knobs.hooks["mend"] = _renew
    answer = await gateway.client.post(SAY, json={"text": "hello"})
    assert (answer.status_code, answer.json()) == (200, {"told": '{"text":"hello"}'})
    assert [call.header("authorization") for call in upstream.calls] == [
        "Bearer ours",
        "Bearer new",
    ]


async def test_streams_the_answer_to_a_mended_request(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    async def answer(call: Call, writer: asyncio.StreamWriter) -> None:
        if len(upstream.calls) == 1:
            await reply(401, {})(call, writer)
        else:
            writer.write(STREAM_HEAD + chunk(b'data: {"n": 1}\n\n') + chunk(b""))

    upstream.answer = answer
    knobs.hooks["mend"] = _renew
    got = await gateway.client.post(SAY, json={})
    assert (got.status_code, got.content) == (200, b'data: {"n": 1}\n\n')


async def test_sends_it_no_third_time(gateway: Gateway, upstream: Upstream, knobs: Knobs) -> None:
    upstream.answer = reply(401, {})
    knobs.hooks["mend"] = _renew
    assert (await gateway.client.post(SAY, json={})).status_code == 502
    assert len(upstream.calls) == 2


async def test_sends_nothing_again_that_is_not_mended(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = reply(500, {})
    assert (await gateway.client.post(SAY, json={})).status_code == 502
    assert len(upstream.calls) == 1


async def test_a_form_that_has_streamed_through_can_not_be_sent_again(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    upstream.reads_body = False

    async def answer(call: Call, writer: asyncio.StreamWriter) -> None:
        async for _ in call.read_chunked():
            pass
        await reply(401, {})(call, writer)

    upstream.answer = answer
    knobs.hooks["mend"] = _renew
    files = {"file": ("a.txt", b"content")}
    refused = await gateway.client.post("/api/v1/test/things/1/upload", files=files)
    assert refused.status_code == 502
    assert len(upstream.calls) == 1


async def test_an_answer_that_has_begun_is_not_begun_again(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    async def break_off(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b'data: {"n": 1}\n\n'))
        await writer.drain()
        writer.close()

    upstream.answer = break_off
    knobs.hooks["mend"] = _renew
    got = await gateway.client.post(SAY, json={})
    assert got.content.startswith(b'data: {"n": 1}\n\nevent: error')
    assert len(upstream.calls) == 1


async def test_says_why_it_could_not_be_mended(
    gateway: Gateway, upstream: Upstream, knobs: Knobs
) -> None:
    async def refuse(_exchange: Exchange) -> bool:
        raise AccountSuspended

    upstream.answer = reply(401, {})
    knobs.hooks["mend"] = refuse
    refused = await gateway.client.post(SAY, json={})
    assert refused.json()["code"] == "policy_account_suspended"


@pytest.mark.parametrize("attempt", [1, 2])
async def test_follows_a_client_that_leaves_at_any_attempt(
    gateway: Gateway, upstream: Upstream, knobs: Knobs, attempt: int
) -> None:
    is_waiting = asyncio.Event()

    async def answer(call: Call, writer: asyncio.StreamWriter) -> None:
        if len(upstream.calls) < attempt:
            await reply(401, {})(call, writer)
            return
        upstream.gone.clear()
        is_waiting.set()
        await call.reader.read()  # until the gateway closes

    upstream.answer = answer
    knobs.hooks["mend"] = _renew
    asking = asyncio.ensure_future(gateway.client.post(SAY, json={}))
    await is_waiting.wait()
    asking.cancel()
    async with asyncio.timeout(30):
        await upstream.gone.wait()
    assert len(upstream.calls) == attempt
