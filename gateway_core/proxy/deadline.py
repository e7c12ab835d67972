"""How long an upstream may take: until its answer begins, between two pieces, and in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_core.upstream import Timeouts


class Deadline:
    """The moment at which an upstream has taken too long; it moves with each sign of life.

    Args:
        clock: seconds, monotonic.
    """

    __slots__ = ("_at", "_clock", "_end", "_timeouts")

    def __init__(self, timeouts: Timeouts, clock: Callable[[], float]) -> None:
        self._timeouts = timeouts
        self._clock = clock
        now = clock()
        self._end = now + timeouts.total
        self._at = min(now + timeouts.first_byte, self._end)

    def is_over(self, now: float) -> bool:
        """Say whether the moment has come."""
        return self._at <= now

    def upload_moved(self) -> None:
        """A piece of the request has gone out: the answer can't have been expected yet."""
        self._move(self._timeouts.first_byte)

    def answer_moved(self) -> None:
        """A piece of the answer has come."""
        self._move(self._timeouts.idle)

    def _move(self, seconds: float) -> None:
        self._at = min(self._clock() + seconds, self._end)
