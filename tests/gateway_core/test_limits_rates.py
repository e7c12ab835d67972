from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import redis
import structlog
from django.test import override_settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway_core import tasks, valkey
from gateway_core.errors import RateLimited, TooManyConcurrent
from gateway_core.rates import Quota, RateLimiter, Refusal
from gateway_core.rates import limiter as limiter_module
from gateway_core.rates.own import OwnBuckets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOWHERE = "redis://127.0.0.1:1/0"


class Clock:
    now = 5_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def subject() -> str:
    return uuid4().hex


@pytest.fixture
def limiter(at_rest: None) -> RateLimiter:
    del at_rest
    return RateLimiter()


@pytest.fixture
async def at_rest() -> AsyncIterator[None]:
    """Let what a test has begun come to its end before its event loop does."""
    yield
    loop = asyncio.get_running_loop()
    while own := [task for task in tasks._running if task.get_loop() is loop]:
        await asyncio.gather(*own)
    await valkey.close()


async def admitted(limiter: RateLimiter, subject: str, quota: Quota, tries: int) -> int:
    decisions = await asyncio.gather(
        *(limiter.take(f"test:{subject}", quota, str(number)) for number in range(tries))
    )
    return sum(decision.refusal is Refusal.NONE for decision in decisions)


def test_admits_the_limit_to_one_percent_over_four_processes_and_two_hundred_callers(
    subject: str,
) -> None:
    per_second, burst, seconds = 200, 400, 3.0
    command = [sys.executable, "-m", "tests.gateway_core.rates_process", f"test:{subject}"]
    command += [str(per_second * 3600), str(burst), "50", str(seconds)]
    processes = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    times: list[float] = []
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        times += json.loads(out)
    times.sort()
    # From the first to any later moment: what the bucket held, and what came back since.
    for count, at in enumerate(times, start=1):
        assert count <= (burst + per_second * (at - times[0])) * 1.01 + 1
    promised = burst + per_second * (times[-1] - times[0])
    assert len(times) >= promised * 0.99 - 1


async def test_counts_each_user_and_class_alone(limiter: RateLimiter, subject: str) -> None:
    quota = Quota(name="llm", per_hour=3600, burst=5)
    assert await admitted(limiter, subject, quota, 20) == 5
    assert await admitted(limiter, f"{subject}-other", quota, 20) == 5


async def test_says_truly_when_to_come_back(limiter: RateLimiter, subject: str) -> None:
    quota = Quota(name="llm", per_hour=36_000, burst=1)  # one in 100 ms
    async with limiter.hold(subject, quota):
        pass
    with pytest.raises(RateLimited) as refusal:
        async with limiter.hold(subject, quota):
            pytest.fail("the bucket is empty")
    wait = refusal.value.retry_after
    assert wait is not None
    assert 0.05 < wait <= 0.1
    assert refusal.value.headers["ratelimit"].startswith('"llm";r=0;t=')
    assert refusal.value.headers["ratelimit-policy"] == '"llm";q=1;w=1'
    await asyncio.sleep(wait + 0.002)
    async with limiter.hold(subject, quota):
        pass


@pytest.mark.usefixtures("at_rest")
async def test_limits_how_many_are_under_way_in_all_processes(subject: str) -> None:
    quota = Quota(name="llm", per_hour=360_000, burst=100, at_once=2)
    one, other = RateLimiter(), RateLimiter()
    async with AsyncExitStack() as under_way:
        await under_way.enter_async_context(one.hold(subject, quota))
        await under_way.enter_async_context(other.hold(subject, quota))
        with pytest.raises(TooManyConcurrent):
            await under_way.enter_async_context(other.hold(subject, quota))
    async with asyncio.timeout(1):
        while await valkey.client().zcard(f"gateway:rate:llm:{subject}:leases"):
            await asyncio.sleep(0.005)
    async with one.hold(subject, quota):
        pass


async def test_gives_up_what_a_process_had_under_way_when_it_died(
    limiter: RateLimiter, subject: str
) -> None:
    quota = Quota(name="llm", per_hour=360_000, burst=100, at_once=1)
    key = f"gateway:rate:llm:{subject}"
    await valkey.client().zadd(f"{key}:leases", {"of the dead": 1.0})
    async with limiter.hold(subject, quota):
        pass


async def test_asks_once_for_all_that_one_turn_of_the_loop_needs(
    limiter: RateLimiter, subject: str
) -> None:
    quota = Quota(name="llm", per_hour=3600, burst=1000)
    await admitted(limiter, subject, quota, 1)
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as observer:
        before = observer.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert await admitted(limiter, subject, quota, 150) == 150
        after = observer.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert after - before == 1


async def test_allows_its_share_while_valkey_is_away_and_all_when_it_is_back(
    limiter: RateLimiter, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = Quota(name="llm", per_hour=3600, burst=20)
    logger = structlog.testing.CapturingLogger()
    monkeypatch.setattr(limiter_module, "_log", logger)
    limiter._processes = 4
    with override_settings(REDIS_URL=NOWHERE):
        await valkey.close()
        assert await admitted(limiter, subject, quota, 50) == 5
        assert await admitted(limiter, f"{subject}-2", quota, 50) == 5
        await valkey.close()
    said = [event.args[0] for event in logger.calls]
    assert said == ["limits hold for each process alone"]
    limiter._is_away_until = 0
    assert await admitted(limiter, subject, quota, 50) == 20


@hypothesis_settings(deadline=None, max_examples=200)
@given(
    steps=st.lists(st.floats(0, 30), min_size=1, max_size=50),
    per_hour=st.integers(60, 36_000),
    burst=st.integers(1, 50),
)
def test_never_allows_more_than_the_bucket_gives(
    steps: list[float], per_hour: int, burst: int
) -> None:
    clock = Clock()
    buckets = OwnBuckets(clock)
    quota = Quota(name="x", per_hour=per_hour, burst=burst)
    start, allowed = clock.now, 0
    for step in steps:
        clock.now += step
        allowed += buckets.take("key", quota, "").refusal is Refusal.NONE
        assert allowed <= burst + (clock.now - start) * quota.per_second + 1e-6
