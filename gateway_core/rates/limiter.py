"""Asks Valkey for decisions: all that one turn of the event loop needs, in one call.

A script call for each request would cost 50 µs of it, a batched one 5 (measured). While Valkey is
away each process allows its share of every limit, which is said once, and asks again by itself.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import uuid4

import redis
from django.conf import settings

from gateway_core import context, valkey
from gateway_core.errors import RateLimited, TooManyConcurrent
from gateway_core.logging import get_logger
from gateway_core.rates import script
from gateway_core.rates.own import OwnBuckets
from gateway_core.rates.quota import Refusal
from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway_core.rates.quota import Decision, Quota

_log = get_logger("gateway.rates")

_LEASE_MS: Final = 30_000
_HEARTBEAT_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 1.0
_PROCESSES: Final = "gateway:processes"
_BATCH: Final = 200


class _Request(NamedTuple):
    """One decision that is wanted."""

    key: str
    quota: Quota
    lease: str
    decided: asyncio.Future[Decision]


class RateLimiter:
    """Decides for all users and classes of requests.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._own = OwnBuckets(clock)
        self._wanted: list[_Request] = []
        self._leases: dict[str, str] = {}
        self._name = uuid4().hex
        self._processes = 1
        self._is_away_until = 0.0
        self._is_away = False

    @asynccontextmanager
    async def hold(self, subject: str, quota: Quota) -> AsyncIterator[Decision]:
        """Count a request and hold its place among those under way for the block.

        Args:
            subject: whose requests are counted, like a user's id.

        Raises:
            RateLimited, TooManyConcurrent: it may not go on now.
        """
        key, lease = f"gateway:rate:{quota.name}:{subject}", context.random_hex(16)
        try:
            decision = await self.take(key, quota, lease)
        except asyncio.CancelledError:
            spawn(self._release(key, lease))  # it may have been allowed meanwhile
            raise
        if decision.refusal is not Refusal.NONE:
            raise _refused(decision)
        if not quota.at_once:
            yield decision
            return
        self._leases[lease] = key
        try:
            yield decision
        finally:
            del self._leases[lease]
            self._own.release(key, lease)
            spawn(self._release(key, lease))

    async def take(self, key: str, quota: Quota, lease: str) -> Decision:
        """Decide on one request, together with all others of this turn of the event loop."""
        if not settings.REDIS_URL or self._clock() < self._is_away_until:
            return self._own.take(key, quota.share(self._processes), lease)
        loop = asyncio.get_running_loop()
        request = _Request(key, quota, lease, loop.create_future())
        if not self._wanted:
            loop.call_soon(self._ask)
        self._wanted.append(request)
        return await request.decided

    async def keep(self) -> None:
        """Say every few seconds that this process and what it has under way are alive."""
        while True:
            try:
                await self._beat()
            except (redis.RedisError, OSError) as exc:
                self._note_away(exc)
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    def _ask(self) -> None:
        wanted, self._wanted = self._wanted, []
        for start in range(0, len(wanted), _BATCH):
            spawn(self._decide(wanted[start : start + _BATCH]))

    async def _decide(self, wanted: list[_Request]) -> None:
        keys: list[str] = []
        arguments: list[Any] = []
        for request in wanted:
            keys += (request.key, f"{request.key}:leases")
            arguments += script.arguments(request.quota, request.lease, _LEASE_MS)
        try:
            take = valkey.client().register_script(script.TAKE)
            answers = await take(keys=keys, args=arguments)
            decisions = [
                script.decision(request.quota, answers, place)
                for place, request in enumerate(wanted)
            ]
            self._note_back()
        except (redis.RedisError, OSError) as exc:
            self._note_away(exc)
            decisions = [
                self._own.take(one.key, one.quota.share(self._processes), one.lease)
                for one in wanted
            ]
        for request, decision in zip(wanted, decisions, strict=True):
            if not request.decided.done():
                request.decided.set_result(decision)

    async def _release(self, key: str, lease: str) -> None:
        if self._is_away:
            return  # Valkey gives it up by itself
        try:
            await valkey.client().zrem(f"{key}:leases", lease)
        except (redis.RedisError, OSError) as exc:
            self._note_away(exc)

    async def _beat(self) -> None:
        if not settings.REDIS_URL:
            return
        now = time.time()
        async with valkey.client().pipeline(transaction=False) as calls:
            calls.zadd(_PROCESSES, {self._name: now})
            calls.zremrangebyscore(_PROCESSES, "-inf", now - 4 * _HEARTBEAT_SECONDS)
            calls.zcard(_PROCESSES)
            answers = await calls.execute()
        await self._renew()
        self._processes = max(1, answers[2])
        self._note_back()

    async def _renew(self) -> None:
        held = list(self._leases.items())
        renew = valkey.client().register_script(script.RENEW)
        for start in range(0, len(held), _BATCH):
            some = held[start : start + _BATCH]
            arguments = [one for lease, _ in some for one in (lease, _LEASE_MS)]
            await renew(keys=[f"{key}:leases" for _, key in some], args=arguments)

    def _note_away(self, exc: Exception) -> None:
        self._is_away_until = self._clock() + _RETRY_SECONDS
        if not self._is_away:
            self._is_away = True
            _log.warning(
                "limits hold for each process alone",
                error=type(exc).__name__,
                processes=self._processes,
            )

    def _note_back(self) -> None:
        if self._is_away:
            self._is_away = False
            self._own.clear()
            _log.info("limits hold for all processes together again")


def _refused(decision: Decision) -> RateLimited | TooManyConcurrent:
    quota = decision.quota
    if decision.refusal is Refusal.CONCURRENCY:
        return TooManyConcurrent(
            f"You have {quota.at_once} {quota.name} requests under way, which is the most at once. "
            "Wait for one to end.",
            retry_after=decision.retry_after,
            headers=decision.headers(),
        )
    return RateLimited(
        f"You have made your {quota.name} requests: {quota.per_hour} an hour, {quota.burst} in one "
        "go. Wait for the seconds in Retry-After.",
        retry_after=decision.retry_after,
        headers=decision.headers(),
    )
