from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading

import pytest
import redis

from gateway_core import tasks, valkey
from gateway_core.errors import RateLimited
from gateway_core.rates import Quota, RateLimiter, Refusal
from gateway_core.rates.script import Ask
from tests.gateway_core.rates.conftest import admitted


def test_admits_the_limit_to_one_percent_over_four_processes_and_two_hundred_callers(
    subject: str,
) -> None:
    per_second, burst, seconds = 200, 400, 3.0
    command = [sys.executable, "-m", "tests.gateway_core.rates.one_process", f"test:{subject}"]
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
    await asyncio.sleep(wait + 0.002)
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


async def test_counts_for_threads_what_it_counts_for_the_loop(
    limiter: RateLimiter, subject: str
) -> None:
    quota = Quota(name="general", per_hour=3600, burst=5, at_once=1)
    for _ in range(2):
        limiter.count(subject, quota)
    async with limiter.hold(subject, quota) as decision:
        assert decision.remaining == 2
        limiter.count(subject, quota)  # which is no stream
    limiter.count(subject, quota)
    with pytest.raises(RateLimited):
        limiter.count(subject, quota)


async def test_takes_nothing_by_looking(limiter: RateLimiter, subject: str) -> None:
    quota = Quota(name="llm", per_hour=3600, burst=5, at_once=3)
    async with limiter.hold(subject, quota), limiter.hold(subject, quota):
        for _ in range(3):
            (left,) = limiter.look(subject, [quota])
    assert (left.refusal, left.remaining, left.under_way) == (Refusal.NONE, 3, 2)
    assert (left.quota, left.retry_after) == (quota, 0)


async def test_serves_two_event_loops_at_once(limiter: RateLimiter, subject: str) -> None:
    quota = Quota(name="llm", per_hour=1, burst=50)
    found: list[int] = []

    async def in_another_loop() -> None:
        found.append(await admitted(limiter, subject, quota, 40))
        loop = asyncio.get_running_loop()
        while own := [task for task in list(tasks._running) if task.get_loop() is loop]:
            await asyncio.gather(*own)
        await valkey.close()

    thread = threading.Thread(target=asyncio.run, args=(in_another_loop(),))
    thread.start()
    found.append(await admitted(limiter, subject, quota, 40))
    await asyncio.to_thread(thread.join)
    assert sum(found) == 50


@pytest.mark.parametrize("hours", [-1, 1], ids=["back", "forth"])
async def test_a_step_of_valkeys_clock_costs_one_full_bucket_at_the_most(
    limiter: RateLimiter, subject: str, hours: int
) -> None:
    """What was saved before the clock stepped ``hours`` lies as far from now, the other way."""
    quota = Quota(name="llm", per_hour=36_000, burst=5)  # one in 100 ms
    assert await admitted(limiter, subject, quota, 10) == 5
    key, at = f"test:{subject}", "at"
    saved = await valkey.client().hget(key, at)
    await valkey.client().hset(key, at, int(saved or 0) - hours * 3_600_000)
    assert await admitted(limiter, subject, quota, 10) == (5 if hours > 0 else 0)
    saved_anew = await valkey.client().hget(key, at)
    await asyncio.sleep(0.05)
    assert int(saved_anew or 0) >= int(saved or 0)
    await asyncio.sleep(0.05)
    assert await admitted(limiter, subject, quota, 10) == 1


async def test_holds_what_a_change_of_the_limit_leaves(limiter: RateLimiter, subject: str) -> None:
    """Nobody who is given less keeps more; who is given more gets it as fast as it comes."""
    before = Quota(name="llm", per_hour=3600, burst=50)
    await admitted(limiter, subject, before, 10)
    assert await admitted(limiter, subject, Quota(name="llm", per_hour=3600, burst=5), 20) == 5
    more = Quota(name="llm", per_hour=3_600_000, burst=50)
    assert await limiter.take(Ask(f"test:{subject}", more, "-"))
    await asyncio.sleep(0.03)
    assert await admitted(limiter, subject, more, 100) >= 20
