from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.conf import settings

from gateway_core import cache
from gateway_core.cache import LocalCache
from gateway_core.tasks import spawn
from tests.timing import Clock


def test_an_entry_lives_for_its_ttl_and_no_longer_than_the_caches() -> None:
    clock = Clock(0)
    local: LocalCache[str, int] = LocalCache("t1", ttl=lambda: 10, max_entries=9, clock=clock)
    local.put("a", 1)
    local.put("b", 2, ttl=5)
    local.put("c", 3, ttl=500)
    clock.now = 5
    assert (local.get("a"), local.get("b"), local.get("c")) == (1, None, 3)
    clock.now = 10
    assert (local.get("a"), local.get("c")) == (None, None)


def test_the_least_recently_used_entry_goes_first() -> None:
    local: LocalCache[str, int] = LocalCache("t2", ttl=lambda: 10, max_entries=2)
    local.put("a", 1)
    local.put("b", 2)
    local.get("a")
    local.put("c", 3)
    assert (local.get("a"), local.get("b"), local.get("c")) == (1, None, 3)


async def test_an_invalidation_of_another_process_is_heard() -> None:
    local: LocalCache[str, int] = LocalCache("t3", ttl=lambda: 100, max_entries=9)
    cache.on_invalidate("t3", local.forget)
    listener = spawn(cache.listen())
    try:
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            async with asyncio.timeout(30):
                while not client.pubsub_numsub("gateway:invalidate")[0][1]:
                    await asyncio.sleep(0.01)
            local.put("a", 1)
            async with asyncio.timeout(30):
                while local.get("a") is not None:
                    client.publish("gateway:invalidate", b'["t3","a"]')
                    await asyncio.sleep(0.01)
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)


async def test_this_process_forgets_at_once_also_without_valkey(
    settings: pytest.FixtureRequest,
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]
    local: LocalCache[str, int] = LocalCache("t4", ttl=lambda: 100, max_entries=9)
    cache.on_invalidate("t4", local.forget)
    local.put("a", 1)
    await asyncio.to_thread(cache.invalidate, "t4", "a")
    assert local.get("a") is None


def test_threads_may_share_a_cache() -> None:
    local: LocalCache[int, int] = LocalCache("t5", ttl=lambda: 100, max_entries=3)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def churn(seed: int) -> None:
        for step in range(20_000):
            key = (step * seed) % 7
            local.put(key, step)
            local.get((key + 1) % 7)
            local.forget((key + 2) % 7)

    try:
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(churn, seed) for seed in (1, 3, 5, 11)]:
                done.result()
    finally:
        sys.setswitchinterval(before)


async def test_makes_what_is_missing_once_for_all_who_ask_meanwhile() -> None:
    local: LocalCache[str, object] = LocalCache("t6", ttl=lambda: 100, max_entries=9)
    made: list[object] = []

    async def make() -> object:
        await asyncio.sleep(0)
        made.append(object())
        return made[-1]

    found = await asyncio.gather(*(local.load("a", make) for _ in range(9)))
    assert found == made * 9
    assert await local.load("a", make) is made[0]
    assert len(made) == 1


async def test_goes_on_making_when_whoever_began_leaves() -> None:
    local: LocalCache[str, int] = LocalCache("t7", ttl=lambda: 100, max_entries=9)
    may_end = asyncio.Event()

    async def make() -> int:
        await may_end.wait()
        return 1

    first = asyncio.ensure_future(local.load("a", make))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(local.load("a", make))
    await asyncio.sleep(0)
    first.cancel()
    may_end.set()
    assert await second == 1
    assert local.get("a") == 1


async def test_a_failure_to_make_is_told_to_all_and_kept_for_nobody() -> None:
    local: LocalCache[str, int] = LocalCache("t8", ttl=lambda: 100, max_entries=9)

    async def fail() -> int:
        raise LookupError

    async def make() -> int:
        return 1

    found = await asyncio.gather(*(local.load("a", fail) for _ in range(2)), return_exceptions=True)
    assert [type(error) for error in found] == [LookupError, LookupError]
    assert await local.load("a", make) == 1


@pytest.mark.parametrize(
    "forget",
    [
        lambda local: local.forget("a"),
        lambda local: local.forget_where(lambda value: value == 1),
        lambda local: local.clear(),
    ],
)
async def test_what_was_begun_before_forgetting_is_neither_kept_nor_shared(
    forget: Callable[[LocalCache[str, int]], None],
) -> None:
    local: LocalCache[str, int] = LocalCache("t9", ttl=lambda: 100, max_entries=9)
    may_end = asyncio.Event()
    truth = 1

    async def make() -> int:
        seen = truth
        await may_end.wait()
        return seen

    early = asyncio.ensure_future(local.load("a", make))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    truth = 2
    forget(local)
    late = asyncio.ensure_future(local.load("a", make))
    await asyncio.sleep(0)
    may_end.set()
    assert (await early, await late) == (1, 2)
    assert local.get("a") == 2


def test_a_thread_does_not_keep_what_it_began_before_forgetting() -> None:
    local: LocalCache[str, int] = LocalCache("t10", ttl=lambda: 100, max_entries=9)

    def make() -> int:
        local.forget("a")
        return 1

    assert local.load_sync("a", make) == 1
    assert local.get("a") is None
    assert local.load_sync("a", lambda: 2) == 2
    assert local.load_sync("a", lambda: 3) == 2


def test_all_who_care_hear_of_a_subject() -> None:
    heard: list[str] = []
    cache.on_invalidate("t11", lambda key: heard.append(f"one {key}"))
    cache.on_invalidate("t11", lambda key: heard.append(f"two {key}"))
    cache.invalidate("t11", "a")
    # Whoever listens in this process for others tells them once more.
    assert heard[:2] == ["one a", "two a"]
