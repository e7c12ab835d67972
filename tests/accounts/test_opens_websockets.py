from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from accounts.models import User
from accounts.websocket import authenticated
from gateway_core.asgi import Application, Receive, Scope, Send
from gateway_project.sandbox.serving import LoopbackServer
from tests.accounts.key_server import KeyServer
from tests.accounts.mint import Signer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sign_in_service")]


@dataclass
class Served:
    """A consumer behind the door, on a real server."""

    url: str = ""
    scopes: list[Any] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    late_seconds: float = 0.0

    def clock(self) -> float:
        return time.time() + self.late_seconds

    async def open(self, token: bytes | None, *others: str) -> ClientConnection:
        offered = [*others, *([f"bearer.{token.decode()}"] if token else [])]
        return await connect(self.url, subprotocols=[Subprotocol(name) for name in offered] or None)


def consumer(state: Served) -> Application:
    class Echo(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            state.scopes.append(self.scope)
            await self.accept()

        async def receive(self, text_data: str | None = None, bytes_data: Any = None) -> None:
            del bytes_data
            await self.send(text_data)

        async def disconnect(self, code: int) -> None:
            state.left.append(code)

    return cast("Application", Echo.as_asgi())


@pytest.fixture
def served() -> Iterator[Served]:
    state = Served()
    with LoopbackServer().start(authenticated(consumer(state), clock=state.clock)) as server:
        state.url = server.url.replace("http", "ws")
        yield state


async def closed_with(connection: ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.recv()
    return connection.close_code, connection.close_reason


async def left(served: Served) -> list[int]:
    """Return with which codes the consumer was left, once it was."""
    async with asyncio.timeout(10):
        while not served.left:
            await asyncio.sleep(0.005)
    return served.left


async def test_lets_a_token_in_and_answers_with_the_protocol_alone(
    served: Served, signer: Signer
) -> None:
    me = uuid4()
    async with await served.open(signer.token(sub=str(me)), "gateway.v1") as connection:
        assert connection.subprotocol == "gateway.v1"
        await connection.send("hello")
        assert await connection.recv() == "hello"
    scope = served.scopes[0]
    assert scope["principal"].user_id == me
    assert scope["subprotocols"] == ["gateway.v1"]


async def test_answers_with_no_protocol_that_was_not_offered(
    served: Served, signer: Signer
) -> None:
    async with await served.open(signer.token()) as connection:
        assert connection.subprotocol is None
        await connection.send("hello")
        assert await connection.recv() == "hello"


@pytest.mark.parametrize("protocols", [(), ("gateway.v1",), ("gateway.v1", "bearer.")])
async def test_closes_with_4401_without_a_token(protocols: tuple[str, ...], served: Served) -> None:
    code, reason = await closed_with(await served.open(None, *protocols))
    assert code == 4401
    expected = "caller_token_invalid" if "bearer." in protocols else "caller_token_missing"
    assert reason == expected
    assert served.scopes == []


async def test_closes_with_4401_for_an_expired_token(served: Served, signer: Signer) -> None:
    token = signer.token(exp=1_700_000_000, iat=1_699_999_000)
    connection = await served.open(token, "gateway.v1")
    assert await closed_with(connection) == (4401, "caller_token_expired")


async def test_closes_with_4403_for_a_suspended_user(served: Served, signer: Signer) -> None:
    me = uuid4()
    await suspended(me)
    connection = await served.open(signer.token(sub=str(me)), "gateway.v1")
    assert await closed_with(connection) == (4403, "policy_account_suspended")


@database_sync_to_async
def suspended(user_id: UUID) -> None:
    User.objects.create(pk=user_id, is_active=False)


async def test_closes_with_4503_while_the_key_server_is_down(
    served: Served, signer: Signer, sign_in_service: KeyServer
) -> None:
    sign_in_service.status = 503
    connection = await served.open(signer.token(), "gateway.v1")
    assert await closed_with(connection) == (4503, "gateway_keys_unavailable")


async def test_closes_with_4503_while_the_database_is_down(
    served: Served, signer: Signer, database_down: None
) -> None:
    del database_down
    connection = await served.open(signer.token(), "gateway.v1")
    assert await closed_with(connection) == (4503, "gateway_database_unavailable")


async def test_closes_an_idle_connection_when_its_token_ends(
    served: Served, signer: Signer
) -> None:
    # With the leeway of 30 s, such a token is good for a moment more.
    token = signer.token(exp=time.time() - 29.8, iat=time.time() - 60)
    connection = await served.open(token, "gateway.v1")
    opened = time.monotonic()
    assert await closed_with(connection) == (4401, "caller_token_expired")
    assert time.monotonic() - opened < 2
    assert await left(served) == [4401]


async def test_ends_an_application_that_only_writes_when_its_token_ends(signer: Signer) -> None:
    state = Served()
    ended = []

    async def pour(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "text": "more"})
                await asyncio.sleep(0)
        finally:
            ended.append(state.clock())

    with LoopbackServer().start(authenticated(pour, clock=state.clock)) as server:
        state.url = server.url.replace("http", "ws")
        connection = await state.open(signer.token(), "gateway.v1")
        assert await connection.recv() == "more"
        assert ended == []
        state.late_seconds = 10_000
        assert await closed_with(connection) == (4401, "caller_token_expired")
    assert len(ended) == 1


async def test_leaves_an_application_alone_that_ends_by_itself(
    served: Served, signer: Signer
) -> None:
    connection = await served.open(signer.token(), "gateway.v1")
    await connection.close(1000)
    assert await left(served) == [1000]
