from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from django.db import OperationalError
from http_sfv.list import List

from gateway_core import valkey
from gateway_core.rates import Quota
from tests.gateway_core.proxy.loopback import STREAM_HEAD, Call, chunk, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_core.proxy.exchange import Exchange
    from tests.gateway_core.proxy.loopback import Gateway, Knobs, Upstream

ONE = "/api/v1/test/things/7"
FIELDS = {
    "ratelimit-policy",
    "ratelimit",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
}


@pytest.fixture
def allow(knobs: Knobs, settings: Any) -> Callable[..., str]:
    """Limit every request of the test; return the key of the bucket."""
    settings.ENABLE_RATE_LIMITING = True
    name = f"test-{uuid4()}"

    def limit(**terms: int) -> str:
        limited = Quota(**{"name": name, "per_hour": 3600, "burst": 10, **terms})  # type: ignore[arg-type]

        async def quota(_exchange: Exchange) -> Quota:
            return limited

        knobs.hooks["quota"] = quota
        return f"gateway:rate:{name}:00000000-0000-0000-0000-000000000001"

    return limit


def left(answer: httpx.Response) -> tuple[int, int]:
    """Return how many requests are left, and for how many seconds."""
    fields = List()
    fields.parse(answer.headers["ratelimit"].encode())
    return fields[0].params["r"], fields[0].params["t"]


async def places(key: str, count: int) -> None:
    async with asyncio.timeout(30):
        while await valkey.client().zcard(f"{key}:leases") != count:
            await asyncio.sleep(0.005)


async def test_says_with_each_answer_what_is_left(
    gateway: Gateway, upstream: Upstream, allow: Callable[..., str]
) -> None:
    allow()
    upstream.answer = reply(body={})
    first, second = [await gateway.client.get(ONE) for _ in range(2)]
    assert first.headers.keys() >= FIELDS
    assert (left(first), left(second)) == ((9, 1), (8, 2))
    policy = List()
    policy.parse(first.headers["ratelimit-policy"].encode())
    assert (policy[0].params["q"], policy[0].params["w"]) == (10, 10)


async def test_refuses_with_the_seconds_to_wait_before_it_takes_in_the_body(
    gateway: Gateway, upstream: Upstream, allow: Callable[..., str]
) -> None:
    allow(per_hour=2600, burst=1)  # one in 1.4 seconds
    upstream.answer = reply(body={})
    await gateway.client.get(ONE)
    answer = await gateway.client.post("/api/v1/test/say", content=b"{no json")
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_rate_limited")
    assert answer.json()["retryable"]
    assert answer.headers["retry-after"] == "2"
    assert left(answer) == (0, 2)
    assert all(len(answer.headers.get_list(name)) == 1 for name in FIELDS)
    assert len(upstream.calls) == 1


async def test_says_it_with_errors_and_streams_too(
    gateway: Gateway, upstream: Upstream, allow: Callable[..., str]
) -> None:
    async def stream(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n") + chunk(b""))

    allow()
    upstream.answer = reply(500)
    failed = await gateway.client.get(ONE)
    malformed = await gateway.client.post("/api/v1/test/say", content=b"{")
    upstream.answer = stream
    streamed = await gateway.client.post("/api/v1/test/say", json={})
    answers = (failed, malformed, streamed)
    assert [answer.status_code for answer in answers] == [502, 400, 200]
    assert [left(answer)[0] for answer in answers] == [9, 8, 7]


async def test_says_nothing_to_who_is_nobody(gateway: Gateway, allow: Callable[..., str]) -> None:
    allow()
    answer = await gateway.client.get(ONE, headers={"authorization": "Bearer bad"})
    assert answer.status_code == 401
    assert not FIELDS & answer.headers.keys()


async def test_holds_a_place_until_a_stream_has_ended(
    gateway: Gateway, upstream: Upstream, allow: Callable[..., str]
) -> None:
    release = asyncio.Event()

    async def stream(_call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await writer.drain()
        await release.wait()
        writer.write(chunk(b""))

    key = allow(at_once=1)
    upstream.answer = stream
    async with gateway.client.stream("POST", "/api/v1/test/say", json={}) as under_way:
        pieces = under_way.aiter_bytes()
        await anext(pieces)
        refused = await gateway.client.get(ONE)
        release.set()
        assert [piece async for piece in pieces] == []
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_too_many_concurrent")
    assert refused.headers["retry-after"] == "1"
    assert left(refused)[0] == 9
    await places(key, 0)
    upstream.answer = reply(body={})
    assert (await gateway.client.get(ONE)).status_code == 200


async def test_counts_what_an_open_circuit_refuses(
    gateway: Gateway, upstream: Upstream, knobs: Knobs, allow: Callable[..., str]
) -> None:
    key = allow(per_hour=60, burst=3, at_once=1)
    upstream.answer = reply(body={})
    knobs.hooks["limited"].breaker.set_trip("a test")
    answers = [await gateway.client.get(ONE) for _ in range(5)]
    assert [answer.json()["code"] for answer in answers] == [
        *["upstream_circuit_open"] * 3,
        *["quota_rate_limited"] * 2,
    ]
    assert [left(answer)[0] for answer in answers[:3]] == [2, 1, 0]
    assert not upstream.calls
    await places(key, 0)


async def test_gives_the_place_back_when_the_client_leaves(
    gateway: Gateway, upstream: Upstream, allow: Callable[..., str]
) -> None:
    async def stalls(call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await writer.drain()
        await call.reader.read()

    key = allow(at_once=1)
    upstream.answer = stalls
    async with gateway.client.stream("POST", "/api/v1/test/say", json={}) as under_way:
        await anext(under_way.aiter_bytes())
        await places(key, 1)
    await places(key, 0)


async def test_needs_the_database_only_for_limits_that_it_does_not_know(
    gateway: Gateway, knobs: Knobs, settings: Any
) -> None:
    async def quota(_exchange: Exchange) -> Quota:
        raise OperationalError

    settings.ENABLE_RATE_LIMITING = True
    knobs.hooks["quota"] = quota
    answer = await gateway.client.get(ONE)
    assert (answer.status_code, answer.json()["code"]) == (503, "gateway_database_unavailable")


async def test_limits_nothing_where_it_is_switched_off(
    gateway: Gateway, upstream: Upstream, allow: Callable[..., str], settings: Any
) -> None:
    allow(burst=1)
    settings.ENABLE_RATE_LIMITING = False
    upstream.answer = reply(body={})
    answers = [await gateway.client.get(ONE) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert not FIELDS & answers[0].headers.keys()
