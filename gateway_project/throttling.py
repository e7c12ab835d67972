"""Limits of the control plane: by user, and by address where there is none.

Users have the limits that they have on the data plane, too. Sign-in to the admin is counted by
django-ratelimit, in fixed windows, in the cache that ``RATELIMIT_USE_CACHE`` names.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

from django.conf import settings
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django_ratelimit.core import get_usage
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rest_framework.permissions import SAFE_METHODS
from rest_framework.throttling import BaseThrottle

from accounts.plans.services import alimits_for, limits_for
from gateway_core import context
from gateway_core.addresses import subscriber
from gateway_core.errors import RateLimited
from gateway_core.logging import get_logger
from gateway_core.outage import Outage
from gateway_core.postgresql.away import required
from gateway_core.rates import LIMITER, Quota, RateClass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from django.http import HttpRequest
    from rest_framework.request import Request
    from rest_framework.views import APIView

    from accounts.models import User
    from gateway_core.context import RequestRecord

# Of each kind of what asks for no token, from one address: pages with all that they load.
_STRANGERS: Final = Quota(name="strangers", per_hour=600 * 60, burst=600)
ResultT = TypeVar("ResultT")


def seconds_to_wait(request: HttpRequest, *, group: str, rate: str, who: str) -> int | None:
    """Count a request and return the seconds until ``who`` may go on, None when they may now.

    Args:
        group: what is limited.
        rate: like ``10/m``.
    """
    usage = get_usage(request, group=group, key=lambda *_: who, rate=rate, increment=True)
    if usage is None or not usage["should_limit"]:
        return None
    return max(1, int(usage["time_left"]))


def address(request: HttpRequest) -> str:
    """Return whom a request comes from, as far as its address says."""
    return subscriber(request.META.get("REMOTE_ADDR", ""))


async def count_stranger(kind: str) -> None:
    """Count a request that is asked for no token, by the address that it comes from.

    Args:
        kind: of what it asks for. Each has a count of its own: whoever shares an address with
            somebody who floods a page gets at the metrics all the same.

    Raises:
        RateLimited: so many have come from there.
    """
    record = context.current.get()
    if not settings.ENABLE_RATE_LIMITING or record is None or not record.client_ip:
        return
    try:
        async with LIMITER.hold(f"{kind}:{subscriber(record.client_ip)}", _STRANGERS):
            return
    except RateLimited as exc:
        raise RateLimited(
            "Too many requests from this address. Wait for the seconds in Retry-After.",
            retry_after=exc.retry_after,
        ) from exc


@asynccontextmanager
async def held(user_id: UUID) -> AsyncIterator[None]:
    """Count a request of the API, and hold its place for the block; its answer says what is left.

    Raises:
        RateLimited, TooManyConcurrent: it may not go on now.
        DatabaseUnavailable: its user's limits are not known, and can't be had.
    """
    record = context.current.get()
    if not settings.ENABLE_RATE_LIMITING or record is None:
        yield
        return
    with required():
        limits = await alimits_for(user_id)
    async with LIMITER.hold(str(user_id), limits.quota(_class_of(record))) as decision:
        record.headers = decision.fields()
        yield


def count(user: User) -> None:
    """Count a request of the API that nobody has counted yet, like that of a session.

    Raises:
        RateLimited: it may not go on now.
    """
    record = context.current.get()
    if not settings.ENABLE_RATE_LIMITING or record is None or record.headers:
        return
    quota = limits_for(user.pk).quota(_class_of(record))
    record.headers = LIMITER.count(str(user.pk), quota).fields()


def _class_of(record: RequestRecord) -> RateClass:
    return RateClass.GENERAL if record.method in SAFE_METHODS else RateClass.WRITES


class UserThrottle(BaseThrottle):
    """For views of the API. Whoever came with a token was counted on the way in."""

    def allow_request(self, request: Request, _view: APIView) -> bool:
        """Count the request of a signed-in user.

        Raises:
            RateLimited: it may not go on now.
        """
        if request.user is not None:
            count(cast("User", request.user))
        return True


class ForgivingRedisCache(RedisCache):
    """Counters in Redis and, while Redis is away, in the memory of this process.

    Only what django-ratelimit calls is made safe. Django's own class would raise, which is a 500.
    Django makes an object of this class for each request; connections, and what is kept in memory,
    are shared.
    """

    _clients: ClassVar[dict[str, RedisCacheClient]] = {}

    outage: ClassVar[Outage] = Outage(
        get_logger("gateway.throttling"),
        away="limits of addresses hold for each process alone",
        back="limits of addresses hold for all processes together again",
    )

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        params["OPTIONS"] = {**params.get("OPTIONS", {}), "retry": Retry(NoBackoff(), 0)}
        super().__init__(server, params)
        if server not in self._clients:
            self._clients[server] = RedisCacheClient([server], **params["OPTIONS"])
        self._cache = self._clients[server]
        self._own = LocMemCache("limits", {})

    def add(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Set a counter that is not there yet."""
        return self._first(
            lambda: RedisCache.add(self, key, value, timeout, version),
            lambda: self._own.add(key, value, timeout, version),
        )

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """Return a counter."""
        return self._first(
            lambda: RedisCache.get(self, key, default, version),
            lambda: self._own.get(key, default, version),
        )

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Raise a counter."""

        def raise_own() -> int:
            # Redis may have gone between ``add`` and here.
            self._own.add(key, 0, version=version)
            return self._own.incr(key, delta, version)

        return self._first(lambda: RedisCache.incr(self, key, delta, version), raise_own)

    def _first(self, shared: Callable[[], ResultT], own: Callable[[], ResultT]) -> ResultT:
        if self.outage.is_known():
            return own()
        try:
            result = shared()
        except RedisError as exc:
            self.outage.begin(exc)
            return own()
        self.outage.end()
        return result
