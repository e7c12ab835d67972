from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop

from gateway_core import valkey


def test_takes_a_connection_that_uvloop_has_closed_for_valkey_being_away() -> None:
    async def call_over_a_closed_connection() -> bool:
        client = valkey.client()
        await client.ping()
        connection = client.connection_pool._available_connections[0]
        assert connection._writer is not None
        connection._writer.transport.abort()
        await asyncio.sleep(0)
        try:
            await client.ping()
        except valkey.AWAY:
            return True
        finally:
            await valkey.close()
        return False

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(call_over_a_closed_connection())


async def test_gives_no_call_what_another_was_answered_too_late() -> None:
    client: Any = valkey.single()
    await client.ping()
    with pytest.raises(valkey.AWAY):
        async with asyncio.timeout(0.02):
            await client.execute_command("BLPOP", "no-such-list", 0.03)
    await asyncio.sleep(0.03)
    assert await client.execute_command("ECHO", "this one") == b"this one"
    await valkey.close()
