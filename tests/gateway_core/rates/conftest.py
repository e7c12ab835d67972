from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from gateway_core import tasks, valkey
from gateway_core.rates import Quota, RateLimiter, Refusal
from gateway_core.rates.script import Ask
from tests.timing import Clock

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def subject() -> str:
    return uuid4().hex


@pytest.fixture
def limiter(at_rest: None, clock: Clock) -> RateLimiter:
    del at_rest
    return RateLimiter(clock)


@pytest.fixture
async def at_rest() -> AsyncIterator[None]:
    """Let what a test has begun come to its end before its event loop does."""
    yield
    await asyncio.sleep(0.02)  # what has ended is told a little later
    loop = asyncio.get_running_loop()
    while own := [task for task in tasks._running if task.get_loop() is loop]:
        await asyncio.gather(*own)
    await valkey.close()


async def admitted(limiter: RateLimiter, subject: str, quota: Quota, tries: int) -> int:
    decisions = await asyncio.gather(
        *(limiter.take(Ask(f"test:{subject}", quota, str(number))) for number in range(tries))
    )
    return sum(decision.refusal is Refusal.NONE for decision in decisions)
