"""At the end of a process, kept connections are closed when nothing comes on them any more."""

from __future__ import annotations

import asyncio

from tests.gateway_project.server.one_connection import REQUEST, Connection, connected, quick

NOW = 1000.0


async def _ask(connection: Connection) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection.client, REQUEST)
    return await asyncio.wait_for(loop.sock_recv(connection.client, 4096), 30)


async def test_closes_a_connection_when_nothing_has_come_for_so_long() -> None:
    async with connected(quick) as connection:
        assert (await _ask(connection)).endswith(b"ok")
        for seconds in (0.0, 1.9):
            connection.server.close_if_unused(NOW + seconds, 2)
        assert not connection.server.transport.is_closing()

        connection.server.close_if_unused(NOW + 2, 2)
        await connection.ended()


async def test_begins_to_wait_anew_after_a_request() -> None:
    async with connected(quick) as connection:
        connection.server.close_if_unused(NOW, 2)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection.client, REQUEST[:20])
        async with asyncio.timeout(30):
            while not connection.server.url:
                await asyncio.sleep(0)
        connection.server.close_if_unused(NOW + 2, 2)
        await loop.sock_sendall(connection.client, REQUEST[20:])
        assert (await loop.sock_recv(connection.client, 4096)).endswith(b"ok")

        for seconds in (3.0, 4.9):
            connection.server.close_if_unused(NOW + seconds, 2)
        assert not connection.server.transport.is_closing()


async def test_serves_what_has_come_and_was_not_read_yet() -> None:
    async with connected(quick) as connection:
        connection.server.close_if_unused(NOW, 2)
        connection.client.send(REQUEST)  # the event loop does not get to it before the next line

        connection.server.close_if_unused(NOW + 2, 2)

        loop = asyncio.get_running_loop()
        assert (await loop.sock_recv(connection.client, 4096)).endswith(b"ok")


async def test_refuses_what_comes_when_all_is_ended() -> None:
    async with connected(quick) as connection:
        connection.server.refuse()

        answer = await _ask(connection)

        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"gateway_stopping"' in answer
        assert b"connection: close" in answer
        await connection.ended()
