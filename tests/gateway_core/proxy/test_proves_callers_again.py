from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from gateway_core import cache
from gateway_core.proxy import guard
from gateway_core.proxy.exchange import Exchange
from gateway_core.proxy.guard import recheck
from tests.gateway_core.proxy.loopback import (
    STREAM_HEAD,
    TOKENS,
    Call,
    Gateway,
    Knobs,
    Upstream,
    authorize,
    chunk,
)


async def _endless(call: Call, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(b'data: {"n": 1}\n\n'))
    await writer.drain()
    await call.reader.read()  # until the gateway closes


@pytest.mark.parametrize(
    "tell",
    [
        pytest.param(lambda: recheck(UUID(int=1)), id="something changed for the user"),
        pytest.param(cache.clear_all, id="nobody knows what has changed"),
    ],
)
async def test_ends_a_stream_in_band_when_its_token_no_longer_proves_anything(
    gateway: Gateway,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
    tell: Callable[[], None],
) -> None:
    upstream.answer = _endless
    async with gateway.client.stream("POST", "/api/v1/test/say", json={}) as answer:
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == b'data: {"n": 1}\n\n'
        monkeypatch.delitem(TOKENS, b"good")
        await asyncio.to_thread(tell)
        async with asyncio.timeout(30):
            last = b"".join([piece async for piece in pieces])
    event, data = last.split(b"\ndata: ")
    assert event == b"event: error"
    assert json.loads(data)["code"] == "caller_token_invalid"
    async with asyncio.timeout(30):
        await upstream.gone.wait()


async def test_stops_a_request_whose_token_lost_its_worth_on_the_way_to_the_upstream(
    gateway: Gateway, upstream: Upstream, knobs: Knobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def authorize_slowly(exchange: Exchange) -> None:
        monkeypatch.delitem(TOKENS, b"good")
        await asyncio.to_thread(recheck, UUID(int=1))
        await authorize(exchange)

    upstream.answer = _endless
    knobs.hooks["authorize"] = authorize_slowly
    async with asyncio.timeout(30):
        answer = await gateway.client.post("/api/v1/test/say", json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "caller_token_invalid")


async def test_ends_a_stream_when_what_has_let_it_in_is_over(
    gateway: Gateway, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.answer = _endless
    ends = time.time() + 0.3
    monkeypatch.setitem(TOKENS, b"good", replace(TOKENS[b"good"], stands_until=ends))
    async with gateway.client.stream("POST", "/api/v1/test/say", json={}) as answer:
        pieces = answer.aiter_bytes()
        await anext(pieces)
        monkeypatch.delitem(TOKENS, b"good")
        async with asyncio.timeout(30):
            last = b"".join([piece async for piece in pieces])
    assert b"caller_token_invalid" in last
    assert time.time() >= ends


async def test_ends_a_stream_whose_key_has_lost_the_scope(
    gateway: Gateway, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.answer = _endless
    async with gateway.client.stream("POST", "/api/v1/test/say", json={}) as answer:
        pieces = answer.aiter_bytes()
        await anext(pieces)
        monkeypatch.setitem(TOKENS, b"good", TOKENS[b"narrow"])
        recheck(UUID(int=1))
        async with asyncio.timeout(30):
            last = b"".join([piece async for piece in pieces])
    assert b"policy_scope_missing" in last


async def test_lets_others_go_on(
    gateway: Gateway, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def two(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await writer.drain()
        await go_on.wait()
        writer.write(chunk(b"data: 2\n\n") + b"0\r\n\r\n")

    go_on = asyncio.Event()
    upstream.answer = two
    async with gateway.client.stream("POST", "/api/v1/test/say", json={}) as answer:
        pieces = answer.aiter_bytes()
        await anext(pieces)
        recheck(UUID(int=1))  # still good
        await asyncio.sleep(0.02)
        monkeypatch.delitem(TOKENS, b"good")
        recheck(UUID(int=2))  # somebody else
        await asyncio.sleep(0.02)
        go_on.set()
        assert b"".join([piece async for piece in pieces]) == b"data: 2\n\n"


async def test_keeps_keys_to_their_scopes(gateway: Gateway, upstream: Upstream) -> None:
    answer = await gateway.client.post(
        "/api/v1/test/say", json={}, headers={"authorization": "Bearer narrow"}
    )
    assert answer.status_code == 403
    assert answer.json()["code"] == "policy_scope_missing"
    assert not upstream.calls


async def test_forgets_a_request_that_ends_while_it_is_proved_again(
    gateway: Gateway, upstream: Upstream, knobs: Knobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    proofs = 0

    async def break_down(_exchange: Exchange) -> None:
        nonlocal proofs
        proofs += 1
        raise ZeroDivisionError

    async def authorize_meanwhile(exchange: Exchange) -> None:
        monkeypatch.setattr(guard, "identify", break_down)
        recheck(UUID(int=1))
        await authorize(exchange)

    upstream.answer = _endless
    knobs.hooks["authorize"] = authorize_meanwhile
    answer = await gateway.client.post("/api/v1/test/say", json={})
    assert (answer.status_code, proofs) == (500, 1)
    assert not any(guard._under_way.values())
