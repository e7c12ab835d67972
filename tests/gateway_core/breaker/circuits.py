"""A breaker whose clock the test moves, and what its tests do with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from gateway_core.breaker import Breaker, Policy
from gateway_core.breaker.call import Call
from gateway_core.breaker.machine import State
from gateway_core.errors import (
    BreakerOpen,
    CallerGone,
    UpstreamUnreachable,
)
from tests.timing import Clock

POLICY = Policy(minimum_calls=4, open_seconds=10, probes=3, slow_seconds=1)


async def call(
    breaker: Breaker, error: BaseException | None = None, caller: str | None = None
) -> None:
    with suppress(type(error) if error else BreakerOpen, BreakerOpen):
        async with breaker.watch(caller):
            if error:
                raise error


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def open_it(breaker: Breaker) -> None:
    for _ in range(POLICY.minimum_calls):
        await call(breaker, UpstreamUnreachable())
    await settle()
    assert breaker.circuit.state is State.OPEN


async def half_open(breaker: Breaker, clock: Clock) -> None:
    """Have probes begin now; one has, and nothing is known of it."""
    await open_it(breaker)
    clock.now += POLICY.open_seconds
    await call(breaker, CallerGone())
    await settle()
    assert breaker.circuit.state is State.HALF_OPEN


async def refused(breaker: Breaker, caller: str) -> None:
    with pytest.raises(BreakerOpen):
        async with breaker.watch(caller):
            pytest.fail("there is no place")


@asynccontextmanager
async def holding(breaker: Breaker, *callers: str) -> AsyncIterator[list[Call]]:
    """Have one call of each caller under way, in this order."""
    async with AsyncExitStack() as calls:
        yield [await calls.enter_async_context(breaker.watch(caller)) for caller in callers]
