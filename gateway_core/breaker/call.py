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
        has_answer: its head at least.
        error: why it failed; None for an answer that was a failure.
        is_success: None while nothing can be said, as of a call that its caller has left.
        when_good: called when the head of a success has come.
        is_told: it has been.
    """

    __slots__ = (
        "_clock",
        "_is_failure",
        "_started",
        "error",
        "has_answer",
        "is_success",
        "is_told",
        "seconds",
        "when_good",
    )

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._is_failure = False
        self.seconds = 0.0
        self.has_answer = False
        self.when_good: Callable[[], object] | None = None
        self.is_told = False
        self.error: UpstreamError | None = None
        self.is_success: bool | None = None

    def begin(self) -> None:
        """It is sent now; how long it had to wait for that is not the upstream's doing."""
        self._started = self._clock()

    def answered(self, *, is_failure: bool | None = False) -> None:
        """The head of the answer has come; what is slow after that is not the upstream's start.

        Args:
            is_failure: None when that can't be said yet; an error that ends the block will.
        """
        self.seconds = self._clock() - self._started
        self.has_answer = True
        self._is_failure = bool(is_failure)
        if self.when_good is not None and is_failure is False:
            self.is_told = True
            self.when_good()

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
