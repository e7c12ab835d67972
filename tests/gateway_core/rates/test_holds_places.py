from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway_core import valkey
from gateway_core.errors import TooManyConcurrent
from gateway_core.rates import Quota, RateLimiter

QUOTA = Quota(name="llm", per_hour=360_000, burst=100, at_once=2)


def leases(subject: str) -> str:
    return f"gateway:rate:llm:{subject}:leases"


async def wait_for(count: int, subject: str) -> None:
    async with asyncio.timeout(30):
        while await valkey.client().zcard(leases(subject)) != count:
            await asyncio.sleep(0.005)


@pytest.mark.usefixtures("at_rest")
async def test_limits_how_many_are_under_way_in_all_processes(subject: str) -> None:
    one, other = RateLimiter(), RateLimiter()
    async with AsyncExitStack() as under_way:
        await under_way.enter_async_context(one.hold(subject, QUOTA))
        await under_way.enter_async_context(other.hold(subject, QUOTA))
        with pytest.raises(TooManyConcurrent) as refusal:
            await under_way.enter_async_context(other.hold(subject, QUOTA))
        assert refusal.value.retry_after == 1
    await wait_for(0, subject)
    async with one.hold(subject, QUOTA):
        pass


async def test_a_place_is_free_for_whoever_comes_next(limiter: RateLimiter, subject: str) -> None:
    alone = Quota(name="llm", per_hour=360_000, burst=100, at_once=1)
    for _ in range(50):
        async with limiter.hold(subject, alone):
            pass


async def test_gives_up_what_a_process_had_under_way_when_it_died(
    limiter: RateLimiter, subject: str
) -> None:
    await valkey.client().zadd(leases(subject), {"of the dead": 1.0, "of another": 1.0})
    async with limiter.hold(subject, QUOTA):
        assert await valkey.client().zcard(leases(subject)) == 1


async def test_renews_what_is_under_way_and_tells_valkey_anew_when_it_has_forgotten(
    limiter: RateLimiter, subject: str
) -> None:
    async with limiter.hold(subject, QUOTA):
        (lease,) = limiter._leases
        before = await valkey.client().zscore(leases(subject), lease)
        await asyncio.sleep(0.005)
        await limiter._beat()
        after = await valkey.client().zscore(leases(subject), lease)
        assert before
        assert after
        assert after > before
        await valkey.client().delete(leases(subject))
        await limiter._beat()
        assert await valkey.client().zcard(leases(subject)) == 1
    await wait_for(0, subject)


async def test_a_beat_brings_nothing_back_that_has_ended_meanwhile(
    limiter: RateLimiter, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat_with = limiter._beat_with

    async def late(held: list[tuple[str, str]]) -> None:
        await wait_for(0, subject)
        await beat_with(held)
        assert await valkey.client().zcard(leases(subject)) == 1

    monkeypatch.setattr(limiter, "_beat_with", late)
    async with limiter.hold(subject, QUOTA):
        beat = asyncio.ensure_future(limiter._beat())
        await asyncio.sleep(0)  # it knows of the place by now
    await beat
    await wait_for(0, subject)


async def test_gives_back_the_place_of_whoever_left_before_the_decision(
    limiter: RateLimiter, subject: str
) -> None:
    async def enter() -> None:
        async with limiter.hold(subject, QUOTA):
            pytest.fail("it was cancelled before")

    task = asyncio.ensure_future(enter())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.03)
    await wait_for(0, subject)
