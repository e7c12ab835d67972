"""A service behind the gateway as one process has it: connections, queue and breaker."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from gateway_core import context
from gateway_core.breaker import Breaker, Policy
from gateway_core.bulkhead import Bulkhead
from gateway_core.errors import FIRST_SERVER_ERROR
from gateway_core.retries import RetryBudget

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_core.http import UpstreamClient


# Asked for with each call, and the same for as long as the settings are: looking is three times as
# quick as making one.
_policy: Final = lru_cache(maxsize=16)(Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds: until the head of the answer, between two pieces of it, and for all of it."""

    first_byte: float
    idle: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One service, or one kind of its work that takes its own time and may fail alone.

    Attributes:
        name: of its breaker and in logs.
        client: the connections, which several kinds of work may share.
        timeouts: of users' calls.
        bulkhead: the slots of users' calls, and the queue for them.
        breaker: leaves it alone while it fails.
        retries: how much of what it is sent may be repetitions.
    """

    name: str
    client: UpstreamClient
    timeouts: Callable[[], Timeouts]
    bulkhead: Bulkhead
    breaker: Breaker
    retries: RetryBudget

    @sensitive_variables()
    async def fetch(self, method: str, target: str, **parts: Any) -> tuple[int, Any]:
        """Make a small call of the gateway's own, as ``UpstreamClient.fetch`` does.

        It needs no slot: users' calls that hold one may wait for it.

        Raises:
            BreakerOpen: the service is being left alone.
            UpstreamError: as ``UpstreamClient.fetch``.
        """
        async with self.breaker.watch(context.user_id()) as call:
            status, answer = await self.client.fetch(method, target, **parts)
            call.answered(is_failure=status >= FIRST_SERVER_ERROR)
        return status, answer

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        await self.client.close()


def with_limits(
    client: UpstreamClient,
    *,
    slots: Callable[[], int],
    timeouts: Callable[[], Timeouts],
    work: str = "",
    is_quick: bool = False,
) -> Upstream:
    """Return a service with the queue and breaker of the settings.

    Args:
        slots: returns how many users' calls may be under way at once.
        work: names one kind of it.
        is_quick: an answer that takes long is a bad sign.
    """
    name = f"{client.name}-{work}" if work else client.name
    return Upstream(
        name=name,
        client=client,
        timeouts=timeouts,
        bulkhead=Bulkhead(
            slots=slots,
            places=lambda: settings.UPSTREAM_QUEUE_PLACES,
            patience_seconds=lambda: settings.UPSTREAM_QUEUE_SECONDS,
        ),
        breaker=breaker(name, is_quick=is_quick),
        retries=RetryBudget(),
    )


def breaker(name: str, *, is_quick: bool = False) -> Breaker:
    """Return a breaker with the policy of the settings."""

    def policy() -> Policy:
        return _policy(
            minimum_calls=settings.CIRCUIT_BREAKER_FAILURE_THRESHOLD,
            failure_rate=settings.CIRCUIT_BREAKER_FAILURE_RATE,
            callers=settings.CIRCUIT_BREAKER_CALLERS,
            slow_seconds=settings.CIRCUIT_BREAKER_SLOW_SECONDS if is_quick else float("inf"),
            open_seconds=settings.CIRCUIT_BREAKER_RECOVERY_TIMEOUT,
            probes=settings.CIRCUIT_BREAKER_PROBES,
        )

    return Breaker(name, policy)
