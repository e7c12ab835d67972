from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from statistics import median

import pytest
import structlog
from django.test import override_settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from gateway_core import valkey
from gateway_core.errors import RateLimited, TooManyConcurrent
from gateway_core.rates import Quota, RateLimiter, Refusal
from gateway_core.rates import limiter as limiter_module
from gateway_core.rates.own import OwnBuckets
from tests.gateway_core.rates.conftest import NOWHERE, admitted
from tests.timing import Clock


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    logger = structlog.testing.CapturingLogger()
    monkeypatch.setattr(limiter_module, "_log", logger)
    events: list[str] = []
    for level in ("info", "warning"):
        monkeypatch.setattr(logger, level, lambda event, **_: events.append(event), raising=False)
    return events


@pytest.fixture
def hanging_valkey() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def counted_alone() -> float:
    labels = {"class": "test", "refusal": "none", "held_for": "process"}
    return REGISTRY.get_sample_value("gateway_rate_decisions_total", labels) or 0


async def test_allows_its_share_while_valkey_is_away_and_all_when_it_is_back(
    said: list[str], limiter: RateLimiter, clock: Clock, subject: str
) -> None:
    quota = Quota(name="test", per_hour=3600, burst=20)
    limiter._processes = 4
    before = counted_alone()
    with override_settings(REDIS_URL=NOWHERE):
        await valkey.close()
        assert await admitted(limiter, subject, quota, 50) == 5
        assert await admitted(limiter, f"{subject}-2", quota, 50) == 5
        clock.now += 4
        assert await admitted(limiter, subject, quota, 50) == 1  # and looks in vain
        await asyncio.sleep(0.02)
        await valkey.close()
    assert counted_alone() - before == 11
    assert said == ["limits hold for each process alone"]
    assert await admitted(limiter, subject, quota, 50) == 0  # not asked before a second is over
    clock.now += 1
    await admitted(limiter, subject, quota, 1)
    async with asyncio.timeout(30):
        while limiter._outage.is_on:
            await asyncio.sleep(0.005)
    assert await admitted(limiter, subject, quota, 50) == 20
    assert said == [
        "limits hold for each process alone",
        "limits hold for all processes together again",
    ]


async def test_holds_places_by_itself_while_valkey_is_away(
    limiter: RateLimiter, subject: str
) -> None:
    quota = Quota(name="test", per_hour=3600, burst=20, at_once=4)
    limiter._processes = 4
    with override_settings(REDIS_URL=NOWHERE):
        await valkey.close()
        async with limiter.hold(subject, quota):
            with pytest.raises(TooManyConcurrent):
                await limiter.hold(subject, quota).__aenter__()
        async with limiter.hold(subject, quota):
            pass
        await valkey.close()


async def test_threads_get_the_share_too_and_bring_valkey_back(
    limiter: RateLimiter, clock: Clock, subject: str
) -> None:
    quota = Quota(name="test", per_hour=3600, burst=2)
    with override_settings(REDIS_URL=NOWHERE):
        limiter.count(subject, quota)
        assert limiter.look(subject, [quota])[0].remaining == 1
        limiter.count(subject, quota)
        with pytest.raises(RateLimited):
            limiter.count(subject, quota)
    clock.now += 1
    limiter.count(subject, quota)
    assert not limiter._outage.is_on


async def test_waits_once_and_no_more_for_a_valkey_that_hangs(
    limiter: RateLimiter, clock: Clock, subject: str, hanging_valkey: str
) -> None:
    quota = Quota(name="test", per_hour=3600, burst=20)
    with override_settings(REDIS_URL=hanging_valkey):
        await valkey.close()
        began = time.monotonic()
        assert await admitted(limiter, subject, quota, 5) == 5
        assert time.monotonic() - began < 1
        took = []
        for _ in range(5):
            clock.now += 1  # each looks whether it is back, and does not wait for that
            began = time.monotonic()
            assert await admitted(limiter, subject, quota, 1) == 1
            took.append(time.monotonic() - began)
        assert median(took) < 0.45  # of the half second that a call may take
        await valkey.close()


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
        allowed += buckets.take("key", quota, "-").refusal is Refusal.NONE
        assert allowed <= burst + (clock.now - start) * quota.per_second + 1e-6


@hypothesis_settings(deadline=None, max_examples=50)
@given(per_hour=st.integers(60, 36_000), burst=st.integers(1, 50), seconds=st.integers(1, 200))
def test_never_allows_fewer_to_who_comes_back_when_told(
    per_hour: int, burst: int, seconds: int
) -> None:
    clock = Clock()
    buckets = OwnBuckets(clock)
    quota = Quota(name="x", per_hour=per_hour, burst=burst)
    start, allowed = clock.now, 0
    while clock.now < start + seconds:
        decision = buckets.take("key", quota, "-")
        if decision.refusal is Refusal.NONE:
            allowed += 1
        else:
            clock.now += decision.retry_after + 1e-9
    assert allowed >= burst + int((clock.now - start) * quota.per_second) - 1
