"""A process opens what it needs once for its event loop, and closes it at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from django.conf import settings

from gateway_core import cache
from gateway_core.rates import LIMITER
from gateway_project.lifecycle import Lifecycle
from tests.gateway_project.asgi import ask

# What goes on beside the requests asks the database, which has its name only then.
pytestmark = pytest.mark.usefixtures("django_db_setup")


async def _application(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})


class Server:
    """The server's end of the lifespan protocol."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._to: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from: asyncio.Queue[Any] = asyncio.Queue()
        self._lifecycle = lifecycle
        self._task = asyncio.ensure_future(
            lifecycle({"type": "lifespan"}, self._to.get, self._from.put)
        )

    async def tell(self, event: str) -> str:
        await self._to.put({"type": f"lifespan.{event}"})
        async with asyncio.timeout(30):
            return str((await self._from.get())["type"])

    async def end(self) -> None:
        async with asyncio.timeout(30):
            await self._task


@pytest.fixture
async def lifecycle() -> AsyncIterator[Lifecycle]:
    lifecycle = Lifecycle(_application)
    yield lifecycle
    await lifecycle._stop()


async def _listeners() -> int:
    async with redis.asyncio.Redis.from_url(settings.REDIS_URL) as client:
        ((_, count),) = await client.pubsub_numsub(cache._CHANNEL)
        return int(count)


async def _wait_for(count: int) -> None:
    async with asyncio.timeout(30):
        while await _listeners() != count:
            await asyncio.sleep(0.01)


async def test_listens_from_the_start_to_the_stop(lifecycle: Lifecycle) -> None:
    before = await _listeners()
    server = Server(lifecycle)

    assert await server.tell("startup") == "lifespan.startup.complete"
    await _wait_for(before + 1)
    assert await server.tell("shutdown") == "lifespan.shutdown.complete"
    await server.end()
    await _wait_for(before)


async def test_starts_with_the_first_request_where_the_server_says_nothing(
    lifecycle: Lifecycle,
) -> None:
    before = await _listeners()

    assert (await ask(lifecycle)).body == b"served"
    await _wait_for(before + 1)


async def test_starts_only_once(lifecycle: Lifecycle) -> None:
    before = await _listeners()
    server = Server(lifecycle)
    await server.tell("startup")

    for _ in range(3):
        await ask(lifecycle)

    await _wait_for(before + 1)
    await asyncio.sleep(0.03)
    assert await _listeners() == before + 1
    await server.tell("shutdown")
    await server.end()


async def test_says_that_it_is_alive_for_limits_to_be_shared(lifecycle: Lifecycle) -> None:
    server = Server(lifecycle)
    async with redis.asyncio.Redis.from_url(settings.REDIS_URL) as client:
        await client.zrem("gateway:processes", LIMITER._name)
        await server.tell("startup")
        async with asyncio.timeout(30):
            while await client.zscore("gateway:processes", LIMITER._name) is None:
                await asyncio.sleep(0.01)
    await server.tell("shutdown")
    await server.end()
    assert all(task.done() for task in lifecycle._tasks)


async def test_stops_where_nothing_was_started(lifecycle: Lifecycle) -> None:
    server = Server(lifecycle)

    assert await server.tell("shutdown") == "lifespan.shutdown.complete"
    await server.end()


async def test_begins_again_what_has_ended_before_the_process(
    lifecycle: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = 0

    async def break_off() -> None:
        nonlocal begun
        begun += 1
        raise ZeroDivisionError

    monkeypatch.setattr("gateway_project.lifecycle._AGAIN_SECONDS", 0.01)
    monkeypatch.setattr("gateway_project.lifecycle._KEPT_UP", {"breaks": break_off})
    await ask(lifecycle)
    async with asyncio.timeout(30):
        while begun < 3:
            await asyncio.sleep(0.01)
