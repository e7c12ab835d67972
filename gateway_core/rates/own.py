"""The same decision within one process, for as long as Valkey is away."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway_core.rates.quota import Decision, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_core.rates.quota import Quota

_MOST_BUCKETS: Final = 50_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    leases: set[str] = field(default_factory=set)


class OwnBuckets:
    """Buckets of this process, the least recently used forgotten first.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str, quota: Quota, lease: str) -> Decision:
        """Decide on one request; ``quota`` is this process's share."""
        bucket = self._bucket(key, quota)
        refusal, wait = Refusal.NONE, 0.0
        if bucket.tokens < 1:
            refusal, wait = Refusal.RATE, (1 - bucket.tokens) / quota.per_second
        elif quota.at_once and len(bucket.leases) >= quota.at_once:
            refusal, wait = Refusal.CONCURRENCY, 1.0
        else:
            bucket.tokens -= 1
            bucket.leases.add(lease)
        return Decision(
            quota=quota,
            refusal=refusal,
            remaining=int(bucket.tokens),
            retry_after=wait,
            reset_after=(quota.burst - bucket.tokens) / quota.per_second,
        )

    def release(self, key: str, lease: str) -> None:
        """One of those under way has ended."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.leases.discard(lease)

    def clear(self) -> None:
        """Forget everything."""
        self._buckets.clear()

    def _bucket(self, key: str, quota: Quota) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(quota.burst, now)
            if len(self._buckets) > _MOST_BUCKETS:
                self._buckets.popitem(last=False)
        bucket.tokens = min(quota.burst, bucket.tokens + (now - bucket.at) * quota.per_second)
        bucket.at = now
        self._buckets.move_to_end(key)
        return bucket
