"""How many connections there may be, and which one makes way for one more."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from gateway_project.server.config import Config
from gateway_project.server.protocol import BoundedProtocol
from tests.gateway_project.server.conftest import Serve
from tests.gateway_project.server.one_connection import REQUEST, Connection, connected, quick
from tests.gateway_project.server.wire import Wire
from tests.timing import wait_until

if TYPE_CHECKING:
    from gateway_core.asgi import Receive, Scope, Send

HEAD = b"GET /api/v1/system/health HTTP/1.1\r\nHost: localhost\r\n"
HALF_A_FORM = (
    b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\na=b&"
)
LONG = bytes(16 * 1024 * 1024)  # more than the system takes of it at once
# So long has a connection been idle that is closed for another one.
_IDLE_SECONDS = 1


def _ask(wire: Wire) -> int | None:
    wire.send(HEAD + b"\r\n")
    answer = wire.answer()
    return answer and answer[0]


def _ask_anew(port: int) -> int | None:
    with Wire(port) as wire:
        return _ask(wire)


def test_closes_the_longest_idle_connection_for_one_more(serve: Serve) -> None:
    served = serve(MAX_CONNECTIONS="4", HEAD_SECONDS="60")
    with ExitStack() as stack:
        half, first, second, third = (stack.enter_context(Wire(served.port)) for _ in range(4))
        half.send(HEAD)
        for wire in (second, first, third, second):  # which leaves the first idle the longest
            assert _ask(wire) == 200

        wait_until(lambda: _ask_anew(served.port) == 200)

        assert first.answer() is None
        assert [_ask(wire) for wire in (second, third)] == [200, 200]
        half.send(b"\r\n")
        answer = half.answer()
        assert answer is not None
        assert answer[0] == 200


def test_refuses_one_more_while_requests_are_under_way_on_all(serve: Serve) -> None:
    served = serve(MAX_CONNECTIONS="2", HEAD_SECONDS="60")
    with Wire(served.port) as slow, Wire(served.port) as form:
        assert _ask(slow) == 200
        slow.send(HEAD)
        form.send(HALF_A_FORM)
        began = time.monotonic()
        while time.monotonic() - began < _IDLE_SECONDS * 1.5:
            with Wire(served.port) as newcomer:
                newcomer.send(HEAD + b"\r\n")
                refused = newcomer.answer()
                assert refused is not None
                assert refused[0] == 503
                assert b'"code":"gateway_overloaded"' in refused[2]
                assert newcomer.answer() is None

        slow.send(b"\r\n")
        form.send(b"c=de")
        for wire in (slow, form):
            answer = wire.answer()
            assert answer is not None
            assert answer[0] < 500


def test_counts_no_connection_that_it_refuses(serve: Serve) -> None:
    served = serve(MAX_CONNECTIONS="1", HEAD_SECONDS="60")
    half = Wire(served.port)
    half.send(HEAD)
    with Wire(served.port) as silent:
        with half:
            assert _ask_anew(served.port) == 503
        wait_until(lambda: _ask_anew(served.port) == 200)
        assert _ask(silent) == 503


def _is_room(connection: Connection, now: float) -> bool:
    """Say whether one more would be served where there may be one."""
    state = connection.state
    config = connection.server.config
    assert isinstance(config, Config)
    newcomer = BoundedProtocol(config, state, {})
    state.connections.add(newcomer)
    is_room = state.admit(newcomer, most=1, now=now)
    state.forget(newcomer)
    state.connections.discard(newcomer)
    return is_room


async def test_closes_a_connection_on_which_nothing_came() -> None:
    async with connected(quick) as connection:
        now = asyncio.get_running_loop().time()
        assert not _is_room(connection, now)

        assert _is_room(connection, now + _IDLE_SECONDS)

        await connection.ended()


async def test_keeps_a_connection_on_which_something_waits_to_be_read() -> None:
    async with connected(quick) as connection:
        loop = asyncio.get_running_loop()
        connection.client.send(REQUEST)  # the event loop does not get to it before the next line

        assert not _is_room(connection, loop.time() + _IDLE_SECONDS)

        answer = await asyncio.wait_for(loop.sock_recv(connection.client, 4096), 30)
        assert answer.endswith(b"ok")


async def test_keeps_a_connection_on_which_an_answer_waits_to_be_read() -> None:
    async def long(_scope: Scope, _receive: Receive, send: Send) -> None:
        head = [(b"content-length", b"%d" % len(LONG))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": LONG, "more_body": False})

    async with connected(long) as connection:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection.client, REQUEST)
        async with asyncio.timeout(30):
            while connection.state.tasks or not connection.server.cycle:
                await asyncio.sleep(0)

        assert not _is_room(connection, loop.time() + _IDLE_SECONDS)
