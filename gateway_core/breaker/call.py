"""One call that a breaker watches, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from gateway_core.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class Call:
    """One call that a breaker watches, which is the block.

    Attributes:
        seconds: until the head of the answer.
        error: why it failed; None for an answer that was a failure.
        is_success: None while nothing can be said, as of a call that its caller has left.
    """

    __slots__ = ("_clock", "_is_failure", "_started", "error", "is_success", "seconds")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._is_failure = False
        self.seconds = 0.0
        self.error: UpstreamError | None = None
        self.is_success: bool | None = None

    def begin(self) -> None:
        """It is sent now; how long it had to wait for that is not the upstream's doing."""
        self._started = self._clock()

    def answered(self, *, is_failure: bool = False) -> None:
        """The head of the answer has come; what is slow after that is not the upstream's start."""
        self.seconds = self._clock() - self._started
        self._is_failure = is_failure

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if isinstance(value, UpstreamError):
            self.error = value
        if value is None:
            self.is_success = not self._is_failure
        elif self.error is not None and self.error.is_outage:
            self.is_success = False
