"""How far a command has got: a bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_WIDTH: Final = 30
_SECONDS_BETWEEN_DRAWINGS: Final = 0.1


class Progress:
    """One line that is drawn over itself, and is gone after the block.

    Args:
        stream: standard error if None, so that what a command says can be kept in a file.
        clock: seconds, monotonic.
    """

    def __init__(
        self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._is_shown = self._stream.isatty()
        self._drawn_at = float("-inf")

    def show(self, what: str, done: int, total: int) -> None:
        """Say how much of a part is done; may be called for each single thing."""
        if not self._is_shown:
            return
        now = self._clock()
        if done < total and now - self._drawn_at < _SECONDS_BETWEEN_DRAWINGS:
            return
        self._drawn_at = now
        filled = _WIDTH * done // total if total else _WIDTH
        self._stream.write(f"\r\x1b[K{what} [{'#' * filled:<{_WIDTH}}] {done}/{total}")
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
