from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio
from django.conf import settings
from django.test import override_settings
from redis.asyncio.client import PubSub

from gateway_core import cache
from gateway_core.tasks import cancel, spawn
from tests.connections import tcp_server


class DeafProxy:
    """Stands before Valkey; the connections there are can be made deaf without saying so."""

    def __init__(self, port: int | None) -> None:
        self._port = port
        self._deaf = 0
        self.connections = 0
        self.pings = 0

    def deafen(self) -> None:
        self._deaf = self.connections

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        there, back = await asyncio.open_connection("127.0.0.1", self._port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while piece := await source.read(65_536):
                self.pings += piece.count(b"PING")
                if number > self._deaf:
                    sink.write(piece)
            sink.close()

        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            back.close()
            await asyncio.gather(back.wait_closed(), return_exceptions=True)

    async def keeps_one_connection(self) -> None:
        """Wait for three pings in a row over one connection, of however busy a process."""
        while True:
            connections, pings = self.connections, self.pings
            while self.connections == connections:
                if self.pings >= pings + 3:
                    return
                await asyncio.sleep(0.01)


async def test_notices_that_a_connection_is_dead_without_saying_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "_SILENCE_SECONDS", 0.3)
    own = urlsplit(settings.REDIS_URL)
    proxy = DeafProxy(own.port)
    async with tcp_server(proxy.serve) as port:
        through = own._replace(netloc=own.netloc.replace(str(own.port), str(port)))
        with override_settings(REDIS_URL=through.geturl()):
            listener = spawn(cache.listen())
            async with asyncio.timeout(60):
                await proxy.keeps_one_connection()
                proxy.deafen()
                dead = proxy.connections
                while proxy.connections == dead:
                    await asyncio.sleep(0.01)
                await proxy.keeps_one_connection()
            await cancel([listener], 5)


async def test_survives_a_message_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_RECONNECT_SECONDS", (0.01, 0.01))
    heard: list[str] = []
    cache.on_invalidate("heard", heard.append)
    listener = spawn(cache.listen())
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        async with asyncio.timeout(30):
            while not client.pubsub_numsub("gateway:invalidate")[0][1]:
                await asyncio.sleep(0.01)
            client.publish("gateway:invalidate", b'{"not": "two texts"}')
            client.publish("gateway:invalidate", b"no JSON")
            while not heard:
                client.publish("gateway:invalidate", b'["heard", "a"]')
                await asyncio.sleep(0.02)
    listener.cancel()
    with suppress(asyncio.CancelledError):
        await listener


async def test_ends_when_it_is_told_to_though_its_connection_can_not_be_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(_channel: object) -> None:
        raise redis.ConnectionError("the connection is gone")

    monkeypatch.setattr(cache, "_RECONNECT_SECONDS", (0.01, 0.01))
    listener = spawn(cache.listen())
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        async with asyncio.timeout(30):
            while not client.pubsub_numsub("gateway:invalidate")[0][1]:
                await asyncio.sleep(0.01)
    monkeypatch.setattr(PubSub, "aclose", fail)
    listener.cancel()
    async with asyncio.timeout(30):
        with suppress(asyncio.CancelledError):
            await listener
    assert listener.cancelled()


async def test_forgets_everything_each_time_it_has_tried_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "_RECONNECT_SECONDS", (0.01, 0.01))
    forgotten: list[None] = []
    monkeypatch.setattr(cache, "_clearers", [lambda: forgotten.append(None)])
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        listener = spawn(cache.listen())
        async with asyncio.timeout(30):
            while len(forgotten) < 3:
                await asyncio.sleep(0.01)
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener
