"""Work that synchronous code leaves to the event loop that this process serves from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asgiref.sync import async_to_sync

from gateway_core.errors import GatewayError
from gateway_core.logging import get_logger
from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_log = get_logger("gateway.background")

_serving: asyncio.AbstractEventLoop | None = None


def serve() -> None:
    """Make the running event loop the one that work is left to."""
    global _serving  # noqa: PLW0603 - a process serves from one loop
    _serving = asyncio.get_running_loop()


def in_background(work: Callable[[], Awaitable[None]], *, name: str) -> None:
    """Have work done without waiting for it. From synchronous code, after the commit.

    Where nothing serves, as in a command, this waits. Either way a ``GatewayError`` of the work is
    logged and goes no further: leave to it what is repaired later when it fails.
    """

    async def begin() -> None:
        if asyncio.get_running_loop() is _serving:
            spawn(_forgiving(work, name), name=name)
        else:
            await _forgiving(work, name)

    async_to_sync(begin)()


async def _forgiving(work: Callable[[], Awaitable[None]], name: str) -> None:
    try:
        await work()
    except GatewayError as error:
        _log.warning("background work failed", work=name, error=str(error))
