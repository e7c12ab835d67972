"""What became of the calls of the last while."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_BUCKETS: Final = 10


@dataclass(slots=True)
class _Bucket:
    """The calls that ended in one part of the window."""

    until: float
    calls: int = 0
    failures: Counter[str | None] = field(default_factory=Counter)
    slow: Counter[str | None] = field(default_factory=Counter)


class Window:
    """Counts calls, failures and slow calls over a sliding while.

    Of failures that a caller may have brought about ``limit_each`` in the window count at the most,
    and as many of their slow calls: nobody's alone make an upstream look dead to everybody.

    Args:
        seconds: returns the window's length.
        limit_each: returns how many failures, and slow calls, of one caller count.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        seconds: Callable[[], float],
        limit_each: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._seconds = seconds
        self._limit_each = limit_each
        self._clock = clock
        # The event loop and the control plane's threads share a window.
        self._lock = threading.Lock()
        self._buckets: deque[_Bucket] = deque()

    def add(self, *, is_failure: bool, is_slow: bool, caller: str | None = None) -> None:
        """Count a call that has ended.

        Args:
            caller: who may have brought about what is wrong with it; None when nobody can have.
        """
        with self._lock:
            bucket = self._bucket()
            bucket.calls += 1
            if is_failure:
                bucket.failures[caller] += 1
            if is_slow:
                bucket.slow[caller] += 1

    def rates(self) -> tuple[int, float, float]:
        """Return the number of calls and, of those, the parts that failed and that were slow."""
        with self._lock:
            self._drop_old()
            buckets = list(self._buckets)
        calls = sum(bucket.calls for bucket in buckets)
        if not calls:
            return 0, 0.0, 0.0
        failures = self._that_count([bucket.failures for bucket in buckets])
        slow = self._that_count([bucket.slow for bucket in buckets])
        return calls, failures / calls, slow / calls

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._buckets.clear()

    def _that_count(self, counters: list[Counter[str | None]]) -> int:
        counts = sum(counters, Counter())
        nobodys = counts.pop(None, 0)
        most = self._limit_each()
        return nobodys + sum(min(count, most) for count in counts.values())

    def _bucket(self) -> _Bucket:
        now = self._clock()
        if not self._buckets or self._buckets[-1].until <= now:
            self._drop_old()
            self._buckets.append(_Bucket(now + self._seconds() / _BUCKETS))
        return self._buckets[-1]

    def _drop_old(self) -> None:
        oldest = self._clock() - self._seconds()
        while self._buckets and self._buckets[0].until <= oldest:
            self._buckets.popleft()
