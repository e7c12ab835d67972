"""The same decision within one process, for as long as Valkey is away."""

from __future__ import annotations

import threading
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
        # The event loop and the control plane's threads share them.
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str, quota: Quota, lease: str) -> Decision:
        """Decide on one request; without a lease, only look.

        Args:
            quota: this process's share.
        """
        with self._lock:
            bucket = self._bucket(key, quota)
            refusal = self._taken(bucket, quota, lease) if lease else Refusal.NONE
            return _decision(bucket, quota, refusal)

    def release(self, key: str, lease: str) -> None:
        """One of those under way has ended."""
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is not None:
                bucket.leases.discard(lease)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._buckets.clear()

    def _taken(self, bucket: _Bucket, quota: Quota, lease: str) -> Refusal:
        if bucket.tokens < 1:
            return Refusal.RATE
        if quota.at_once:
            if len(bucket.leases) >= quota.at_once:
                return Refusal.CONCURRENCY
            bucket.leases.add(lease)
        bucket.tokens -= 1
        return Refusal.NONE

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


def _decision(bucket: _Bucket, quota: Quota, refusal: Refusal) -> Decision:
    wait = 1.0 if refusal is Refusal.CONCURRENCY else 0.0
    if bucket.tokens < 1:
        wait = (1 - bucket.tokens) / quota.per_second
    return Decision(
        quota=quota,
        refusal=refusal,
        remaining=int(bucket.tokens),
        retry_after=wait,
        full_after=(quota.burst - bucket.tokens) / quota.per_second,
        under_way=len(bucket.leases),
    )
