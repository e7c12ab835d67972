"""What is sent once more for want of a connection, and how often."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from gateway_core.errors import UpstreamUnreachable
from gateway_core.http import UpstreamClient
from gateway_core.upstream import Timeouts, with_limits
from tests.gateway_core.proxy.callers import SAY, THING, code
from tests.gateway_core.proxy.loopback import Call, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway_core.proxy.loopback import Gateway, Knobs, Upstream


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
