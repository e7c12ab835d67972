"""Connections end as soon as their token proves nothing any more."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from accounts import conf, services, websocket
from accounts.models import User
from accounts.principals.identify import identify_token
from accounts.principals.memory import INVALIDATION_SUBJECT
from accounts.sessions.services import allow, deny_session, deny_user
from accounts.websocket import authenticated
from gateway_core import cache
from gateway_core.asgi import Application, Receive, Scope, Send
from gateway_project.sandbox.serving import LoopbackServer
from tests.accounts.key_server import KeyServer
from tests.accounts.mint import Signer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sign_in_service")]


class Rooms:
    """Applications that a connection may be in, and how each was left."""

    def __init__(self) -> None:
        self.url = ""
        self.left: list[Any] = []
        self.go_on = asyncio.Event()

    async def listening(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "text": event["text"]})
        self.left.append(event["code"])

    async def pouring(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "text": "more"})
                await asyncio.sleep(0.001)
        except Exception as error:
            self.left.append(type(error).__name__)
            raise

    async def thinking(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "wait"})
        thought = asyncio.ensure_future(asyncio.sleep(30))
        try:
            await thought
        finally:
            self.left.append("thought")

    async def hesitating(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.left.append("arrived")
        while not self.left[1:]:
            await asyncio.sleep(0.005)
        await send({"type": "websocket.accept"})


@pytest.fixture
def rooms() -> Rooms:
    return Rooms()


@contextlib.contextmanager
def serving(rooms: Rooms, application: Application) -> Iterator[LoopbackServer]:
    with LoopbackServer().start(authenticated(application)) as server:
        rooms.url = server.url.replace("http", "ws")
        yield server


@contextlib.asynccontextmanager
async def opened(rooms: Rooms, token: bytes) -> AsyncIterator[ClientConnection]:
    offered = [Subprotocol("gateway.v1"), Subprotocol(f"bearer.{token.decode()}")]
    async with connect(rooms.url, subprotocols=offered) as connection:
        yield connection


async def echo(connection: ClientConnection) -> None:
    await connection.send("hello")
    assert await connection.recv() == "hello"


async def closed_with(connection: ClientConnection, within: float = 1) -> tuple[Any, Any]:
    async with asyncio.timeout(within):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.recv()
    return connection.close_code, connection.close_reason


@database_sync_to_async
def deny(user_id: UUID, session_id: UUID | None = None) -> Any:
    if session_id is None:
        return deny_user(user_id=user_id, by=None)
    return deny_session(session_id=session_id, user_id=user_id, by=None)


@database_sync_to_async
def suspend(user_id: UUID) -> None:
    staff = User.objects.create_superuser("root")
    services.suspend_user(user_id=user_id, by=staff)


async def test_closes_a_waiting_connection_of_a_session_that_is_denied(
    rooms: Rooms, signer: Signer
) -> None:
    me, here, there = uuid4(), uuid4(), uuid4()
    with serving(rooms, rooms.listening):
        async with (
            opened(rooms, signer.token(sub=str(me), session_id=str(here))) as ended,
            opened(rooms, signer.token(sub=str(me), session_id=str(there))) as other,
        ):
            await echo(ended)
            await deny(me, here)
            assert await closed_with(ended) == (4401, "caller_token_revoked")
            await echo(other)
    assert rooms.left[0] == 4401


async def test_closes_all_connections_of_a_user_who_is_denied_and_nobody_else_s(
    rooms: Rooms, signer: Signer
) -> None:
    me = uuid4()
    with serving(rooms, rooms.listening):
        async with (
            opened(rooms, signer.token(sub=str(me))) as one,
            opened(rooms, signer.token(sub=str(me))) as two,
            opened(rooms, signer.token()) as of_another,
        ):
            await echo(one)
            await echo(two)
            await deny(me)
            for connection in (one, two):
                assert await closed_with(connection) == (4403, "policy_account_suspended")
            await echo(of_another)


async def test_closes_the_connection_of_a_user_who_is_suspended(
    rooms: Rooms, signer: Signer
) -> None:
    me = uuid4()
    with serving(rooms, rooms.listening):
        async with opened(rooms, signer.token(sub=str(me))) as connection:
            await echo(connection)
            await suspend(me)
            assert await closed_with(connection) == (4403, "policy_account_suspended")


async def test_ends_an_application_that_only_writes(rooms: Rooms, signer: Signer) -> None:
    me = uuid4()
    with serving(rooms, rooms.pouring):
        async with opened(rooms, signer.token(sub=str(me))) as connection:
            assert await connection.recv() == "more"
            await deny(me)
            assert await closed_with(connection) == (4403, "policy_account_suspended")
            async with asyncio.timeout(30):
                while not rooms.left:
                    await asyncio.sleep(0.005)
            assert rooms.left == ["_Over"]


async def test_closes_at_once_while_the_application_is_busy(rooms: Rooms, signer: Signer) -> None:
    me = uuid4()
    with serving(rooms, rooms.thinking):
        async with opened(rooms, signer.token(sub=str(me))) as connection:
            assert await connection.recv() == "wait"
            await deny(me)
            assert await closed_with(connection) == (4403, "policy_account_suspended")
            assert rooms.left == []


async def test_tells_a_browser_why_when_the_application_had_not_accepted_yet(
    rooms: Rooms, signer: Signer
) -> None:
    me = uuid4()
    with serving(rooms, rooms.hesitating):
        offered = [Subprotocol(f"bearer.{signer.token(sub=str(me)).decode()}")]
        opening = asyncio.ensure_future(connect(rooms.url, subprotocols=offered).__aenter__())
        async with asyncio.timeout(30):
            while not rooms.left:
                await asyncio.sleep(0.005)
        await deny(me)
        connection = await opening
        assert await closed_with(connection) == (4403, "policy_account_suspended")
        rooms.left.append("go on")


async def test_misses_no_denial_of_the_moment_before_it_was_open(
    rooms: Rooms, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = uuid4()
    lost: list[Any] = []

    async def identify_and_lose_the_race(token: bytes, **how: Any) -> Any:
        principal = await identify_token(token, **how)
        if not lost:
            lost.append(principal)
            await deny(me)
        return principal

    monkeypatch.setattr("accounts.websocket.identify_token", identify_and_lose_the_race)
    with serving(rooms, rooms.listening):
        async with opened(rooms, signer.token(sub=str(me))) as connection:
            assert await closed_with(connection) == (4403, "policy_account_suspended")
    assert rooms.left == []


async def test_leaves_a_connection_alone_that_can_still_prove_itself(
    rooms: Rooms, signer: Signer
) -> None:
    me = uuid4()
    with serving(rooms, rooms.listening):
        async with opened(rooms, signer.token(sub=str(me))) as connection:
            await echo(connection)
            denial = await deny(me, uuid4())
            await database_sync_to_async(allow)(denial=denial, by=None)
            await asyncio.sleep(0.05)
            await echo(connection)


async def test_leaves_a_connection_alone_while_nobody_can_say(
    rooms: Rooms, signer: Signer, sign_in_service: KeyServer
) -> None:
    me = uuid4()
    with serving(rooms, rooms.listening):
        async with opened(rooms, signer.token(sub=str(me))) as connection:
            await echo(connection)
            sign_in_service.status = 503
            store = conf.verifier().store
            assert store is not None
            store._loaded_at = None
            await asyncio.to_thread(cache.invalidate, INVALIDATION_SUBJECT, str(me))
            await asyncio.sleep(0.05)
            await echo(connection)


async def test_keeps_nothing_of_connections_that_are_over(rooms: Rooms, signer: Signer) -> None:
    me = uuid4()
    with serving(rooms, rooms.listening):
        async with opened(rooms, signer.token(sub=str(me))) as connection:
            await echo(connection)
            assert sum(map(len, websocket._open.values())) == 1
        started = time.monotonic()
        while websocket._open:
            assert time.monotonic() < started + 1
            await asyncio.sleep(0.005)


async def test_shows_no_token(rooms: Rooms, signer: Signer) -> None:
    token = signer.token()
    with serving(rooms, rooms.listening):
        async with opened(rooms, token) as connection:
            await echo(connection)
            assert token.decode() not in repr(websocket._open)
