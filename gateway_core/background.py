"""Work that synchronous code has done in the event loop that this process serves from.

Where nothing serves, as in a command, a loop is made for the work, and what it has opened there is
closed again.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet

from asgiref.sync import async_to_sync

from gateway_core.errors import GatewayError
from gateway_core.logging import get_logger
from gateway_core.pooled import give_back_connection
from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Work = Callable[[], Awaitable[None]]

ResultT = TypeVar("ResultT")

_log = get_logger("gateway.background")

_serving: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def serve() -> None:
    """Have work done in the running event loop from now on, and what it opens there left open."""
    _serving.add(asyncio.get_running_loop())


def stop_serving() -> None:
    """The running event loop is about to end."""
    _serving.discard(asyncio.get_running_loop())


def in_background(work: Work, *, name: str, close: Work) -> None:
    """Have work done without waiting for it, but where nothing serves. Call it after the commit.

    A ``GatewayError`` of the work is logged and goes no further: leave to it what is repaired later
    when it fails.

    Args:
        close: closes what the work opens in its loop.
    """

    async def begin() -> None:
        if asyncio.get_running_loop() in _serving:
            spawn(_forgiving(work, name), name=name)
        else:
            await _closing(partial(_forgiving, work, name), close)

    async_to_sync(begin)()


def wait_for(work: Callable[[], Awaitable[ResultT]], *, close: Work) -> ResultT:
    """Have work done and return what it does. Raises what it does.

    Args:
        close: closes what the work opens in its loop.
    """

    async def begin() -> ResultT:
        if asyncio.get_running_loop() in _serving:
            return await work()
        return await _closing(work, close)

    give_back_connection()
    return async_to_sync(begin)()


async def _closing(work: Callable[[], Awaitable[ResultT]], close: Work) -> ResultT:
    try:
        return await work()
    finally:
        await close()


async def _forgiving(work: Work, name: str) -> None:
    try:
        await work()
    except GatewayError as error:
        _log.warning("background work failed", work=name, error=str(error))
