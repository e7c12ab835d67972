"""Decides on requests: with all other processes as long as Valkey answers, else for its share."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from django.conf import settings

from gateway_core import context, metrics, valkey
from gateway_core.errors import RateLimited, TooManyConcurrent
from gateway_core.logging import get_logger
from gateway_core.outage import Outage
from gateway_core.rates import script
from gateway_core.rates.asking import Asking
from gateway_core.rates.own import OwnBuckets
from gateway_core.rates.quota import Refusal
from gateway_core.rates.script import Ask
from gateway_core.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway_core.rates.quota import Decision, Quota

_log = get_logger("gateway.rates")

_BEAT_SECONDS: Final = 2.0
_PROCESSES: Final = "gateway:processes"
_BATCH: Final = 200


class RateLimiter:
    """Decides for all users and classes of requests.

    A request waits for Valkey for one call, and not at all while Valkey is known to be away: each
    process then allows its share of every limit, and looks once a second whether it is back.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._own = OwnBuckets(clock)
        self._askings: dict[asyncio.AbstractEventLoop, Asking] = {}
        self._leases: dict[str, str] = {}
        self._name = uuid4().hex
        self._processes = 1
        self._outage = Outage(
            _log,
            away="limits hold for each process alone",
            back="limits hold for all processes together again",
            clock=clock,
        )

    @asynccontextmanager
    async def hold(self, subject: str, quota: Quota) -> AsyncIterator[Decision]:
        """Count a request and hold its place among those under way for the block.

        Args:
            subject: whose requests are counted, like a user's id.

        Raises:
            RateLimited, TooManyConcurrent: it may not go on now.
        """
        ask = Ask(_key(subject, quota), quota, context.random_hex(16))
        try:
            decision = await self.take(ask)
        except asyncio.CancelledError:
            self._release(ask)  # it may have been allowed meanwhile
            raise
        if decision.refusal is not Refusal.NONE:
            raise refused(decision)
        if not quota.at_once:
            yield decision
            return
        self._leases[ask.lease] = ask.key
        try:
            yield decision
        finally:
            self._release(ask)

    async def take(self, ask: Ask) -> Decision:
        """Decide on one request, together with the others that ask meanwhile."""
        decision = await self._asking().ask(ask) if self._may_ask() else None
        if decision is not None:
            return _counted(decision, "all")
        return self._take_own(ask)

    def count(self, subject: str, quota: Quota) -> Decision:
        """Decide on one request in a thread of the control plane; nothing is held.

        Raises:
            RateLimited: it may not go on now.
        """
        decision = self._take_sync(Ask(_key(subject, quota), quota.rate_alone(), "-"))
        if decision.refusal is not Refusal.NONE:
            raise refused(decision)
        return decision

    def look(self, subject: str, quotas: list[Quota]) -> list[Decision]:
        """Return what is left of each, and take nothing; in a thread of the control plane."""
        asks = [Ask(_key(subject, quota), quota, "") for quota in quotas]
        return self._ask_sync(asks) or [self._own_decision(ask) for ask in asks]

    async def keep(self) -> None:
        """Say every few seconds that this process and what it has under way are alive."""
        while True:
            await self._beat()
            await asyncio.sleep(_BEAT_SECONDS)

    def _asking(self) -> Asking:
        loop = asyncio.get_running_loop()
        asking = self._askings.get(loop)
        if asking is None:
            for old in [one for one in self._askings if one.is_closed()]:
                del self._askings[old]
            asking = self._askings[loop] = Asking(self._note)
        return asking

    def _may_ask(self) -> bool:
        if not settings.REDIS_URL:
            return False
        if self._outage.is_on and self._outage.is_time_to_look():
            spawn(self._beat(), name="rates")
        return not self._outage.is_on

    def _take_sync(self, ask: Ask) -> Decision:
        found = self._ask_sync([ask])
        return _counted(found[0], "all") if found else self._take_own(ask)

    def _ask_sync(self, asks: list[Ask]) -> list[Decision] | None:
        if not settings.REDIS_URL or self._outage.is_known():
            return None
        keys, arguments = script.terms(asks, ())
        try:
            answer = script.run_sync(valkey.sync_client(), script.TAKE, keys, arguments)
        except valkey.AWAY as exc:
            self._note(exc)
            return None
        self._note(None)
        return script.decisions(asks, answer)

    def _take_own(self, ask: Ask) -> Decision:
        return _counted(self._own_decision(ask), "process")

    def _own_decision(self, ask: Ask) -> Decision:
        return self._own.take(ask.key, ask.quota.share(self._processes), ask.lease)

    def _release(self, ask: Ask) -> None:
        self._leases.pop(ask.lease, None)
        self._own.release(ask.key, ask.lease)
        # What Valkey is not told of, it gives up by itself.
        if settings.REDIS_URL and not self._outage.is_on:
            self._asking().end(ask.key, ask.lease)

    async def _beat(self) -> None:
        if not settings.REDIS_URL:
            return
        held = list(self._leases.items())
        try:
            for start in range(0, len(held) or 1, _BATCH):
                await self._beat_with(held[start : start + _BATCH])
            self._note(None)
        except valkey.AWAY as exc:
            self._note(exc)
        for lease, key in held:
            if lease not in self._leases:  # ended meanwhile, and perhaps told before the beat
                self._asking().end(key, lease)

    async def _beat_with(self, held: list[tuple[str, str]]) -> None:
        keys = [_PROCESSES, *(script.leases_of(key) for _, key in held)]
        gone_ms = int(4 * _BEAT_SECONDS * 1000)
        arguments = [self._name, gone_ms, script.LEASE_MS, *(lease for lease, _ in held)]
        self._processes = await script.run(valkey.client(), script.BEAT, keys, arguments)

    def _note(self, exc: Exception | None) -> None:
        """Note that Valkey has answered, or why it has not."""
        if exc is not None:
            self._outage.begin(exc, processes=self._processes)
        elif self._outage.end():
            self._own.clear()


LIMITER: Final = RateLimiter()


def refused(decision: Decision) -> RateLimited | TooManyConcurrent:
    """Return the error for a request that may not go on now."""
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


def _key(subject: str, quota: Quota) -> str:
    return f"gateway:rate:{quota.name}:{subject}"


def _counted(decision: Decision, where: str) -> Decision:
    metrics.count_decision(decision.quota.name, decision.refusal.name.lower(), where)
    return decision
