"""Limits as several processes of the real gateway hold them, with Valkey and without it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis

from accounts.models import UserPlan
from accounts.plans.services import save_user_plan
from gateway_project.sandbox.store import Store
from gateway_project.sandbox.valkey import Valkey
from tests.second_gateway import second_gateway
from tests.timing import wait_until

MODELS = "/api/v1/llm/models"
ON = {"ENABLE_RATE_LIMITING": "true"}


@pytest.fixture
def alice(client_for: Callable[[str], httpx.Client]) -> httpx.Client:
    return client_for("alice@example.com")


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    (tmp_path / "logs").mkdir()
    valkey = Valkey(tmp_path, Store(tmp_path), bound=True)
    valkey.start()
    yield valkey
    valkey.stop()


def rate(client: httpx.Client, **rates: str) -> None:
    user_id = client.get("/api/v1/me").json()["id"]
    save_user_plan(user_plan=UserPlan(user_id=user_id, **rates), by=None)


def wait_for_processes(valkey: Valkey, count: int) -> None:
    """Wait until so many serve, and each has counted the others."""
    with redis.Redis.from_url(valkey.url) as client:

        def beats() -> dict[bytes, float]:
            return dict(client.zrange("gateway:processes", 0, -1, withscores=True))

        wait_until(lambda: len(beats()) == count, seconds=60)
        before = beats()
        wait_until(lambda: all(at > before[name] for name, at in beats().items()))


async def ask(url: str, client: httpx.Client, *, callers: int, times: int) -> Counter[int]:
    """Ask ``times`` times by so many at once; return how often which status came."""
    statuses: Counter[int] = Counter()
    left = iter(range(times))
    headers = {"authorization": client.headers["authorization"]}
    limits = httpx.Limits(max_connections=callers, max_keepalive_connections=callers)
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=30) as many:

        async def call() -> None:
            for _ in left:
                statuses[(await many.get(MODELS)).status_code] += 1

        await asyncio.gather(*(call() for _ in range(callers)))
    return statuses


def test_four_processes_admit_two_hundred_callers_up_to_the_limit(
    alice: httpx.Client, tmp_path: Path, own_valkey: Valkey
) -> None:
    per_hour, burst = 7200, 300
    rate(alice, rate_general=f"{per_hour}/h:{burst}")
    settings = {**ON, "REDIS_URL": own_valkey.url}
    with second_gateway(tmp_path / "spool", workers=4, settings=settings) as url:
        wait_for_processes(own_valkey, 4)
        began = time.monotonic()
        statuses = asyncio.run(ask(url, alice, callers=200, times=800))
        seconds = time.monotonic() - began
    assert set(statuses) == {200, 429}
    least, most = burst, burst + math.ceil(seconds * per_hour / 3600)
    assert least * 0.99 <= statuses[200] <= most * 1.01


def test_a_users_own_limit_holds_in_another_process_within_a_second(
    alice: httpx.Client, tmp_path: Path
) -> None:
    with second_gateway(tmp_path, settings=ON) as url:
        there = httpx.Client(base_url=url, headers=alice.headers)
        assert there.get(MODELS).headers["x-ratelimit-limit"] == "100"
        rate(alice, rate_general="60/h:7")
        wait_until(lambda: there.get(MODELS).headers["x-ratelimit-limit"] == "7", seconds=1)
        there.close()


def test_goes_on_with_its_share_while_valkey_is_away_and_with_all_when_it_is_back(
    alice: httpx.Client, tmp_path: Path, own_valkey: Valkey
) -> None:
    rate(alice, rate_general="60/h:200")
    log = tmp_path / "gateway.log"
    settings = {**ON, "REDIS_URL": own_valkey.url, "LOG_FORMAT": "json"}
    with second_gateway(tmp_path / "spool", workers=2, log=log, settings=settings) as url:
        wait_for_processes(own_valkey, 2)
        assert asyncio.run(ask(url, alice, callers=20, times=100)) == {200: 100}
        own_valkey.stop()
        away = asyncio.run(ask(url, alice, callers=20, times=400))
        assert set(away) == {200, 429}
        # Each of the two allows half of 200 at the most, whatever share of them it was asked.
        assert 100 <= away[200] <= 204
        own_valkey.start()
        wait_until(lambda: log.read_text().count("for all processes together again") >= 2)
        # A machine that is busy enough takes Valkey for away once more.
        assert 2 <= log.read_text().count("limits hold for each process alone") <= 4
        with redis.Redis.from_url(own_valkey.url) as client:
            before = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
            asyncio.run(ask(url, alice, callers=20, times=40))
            assert client.info("commandstats")["cmdstat_evalsha"]["calls"] > before
