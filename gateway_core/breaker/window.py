"""What became of the calls of the last while."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from operator import attrgetter
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

    Nobody makes an upstream look dead to everybody with an account or two: what callers may have
    brought about counts once ``callers`` of them have met it, and of each no more than
    ``limit_each``. What doesn't count is left out, so that it doesn't make the rest look better
    either. That there is no connection is nobody's doing and always counts, which is what opens the
    circuit where there are fewer callers.

    Args:
        seconds: returns the window's length.
        callers: returns how many different ones must have met failures, or slow calls.
        limit_each: returns how many failures, and slow calls, of one caller count.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        seconds: Callable[[], float],
        callers: Callable[[], int],
        limit_each: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._seconds = seconds
        self._callers = callers
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
            calls = sum(bucket.calls for bucket in self._buckets)
            failures = sum(bucket.failures.total() for bucket in self._buckets)
            slow = sum(bucket.slow.total() for bucket in self._buckets)
        return calls, failures / max(1, calls), slow / max(1, calls)

    def failures(self) -> tuple[int, float]:
        """Return the number of calls that count, and the part of them that failed."""
        return self._of_those_that_count(attrgetter("failures"))

    def slowness(self) -> tuple[int, float]:
        """Return the number of calls that count, and the part of them that were slow."""
        return self._of_those_that_count(attrgetter("slow"))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._buckets.clear()

    def _of_those_that_count(
        self, kind: Callable[[_Bucket], Counter[str | None]]
    ) -> tuple[int, float]:
        with self._lock:
            self._drop_old()
            calls = sum(bucket.calls for bucket in self._buckets)
            by_caller = sum((kind(bucket) for bucket in self._buckets), Counter())
        bad = by_caller.total()
        counted = by_caller.pop(None, 0)
        if len(by_caller) >= self._callers():
            most = self._limit_each()
            counted += sum(min(count, most) for count in by_caller.values())
        calls -= bad - counted
        return calls, counted / calls if calls else 0.0

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
