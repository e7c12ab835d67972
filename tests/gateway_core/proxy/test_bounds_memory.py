"""Room for requests and answers, as a caller feels it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway_core.room import USERS
from tests.gateway_core.proxy.callers import SAY, THING, as_user, code
from tests.gateway_core.proxy.loopback import Call, reply

if TYPE_CHECKING:
    from tests.gateway_core.proxy.loopback import Gateway, Knobs, Upstream

pytestmark = pytest.mark.usefixtures("many_users")


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
    async with asyncio.timeout(30):
        while not upstream.calls:
            await asyncio.sleep(0.01)

    large = await gateway.client.post(SAY, json={"text": "x" * 200}, headers=as_user(0))
    assert code(large) == (503, "gateway_overloaded")
    second = asyncio.ensure_future(
        gateway.client.post(SAY, json={"text": "x" * 200}, headers=as_user(1))
    )
    async with asyncio.timeout(30):
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
