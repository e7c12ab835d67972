"""Whether PostgreSQL is away, as far as this process knows.

Whoever wants a connection from an empty pool waits for ``DATABASE_POOL_TIMEOUT``, in one of a few
threads: during an outage requests would queue for these, each for many times as long. So only one
of them looks each second, and all others are told at once.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

_log = get_logger("gateway.database")
_LOOK_SECONDS: Final = 1.0


class Outage:
    """Begins when no connection can be made, ends with the next answer of PostgreSQL.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._is_on = False
        self._look_at = 0.0

    def begin(self, error: Exception) -> None:
        """No connection could be made; that is said once."""
        with self._lock:
            was_on, self._is_on = self._is_on, True
            self._look_at = self._clock() + _LOOK_SECONDS
        if not was_on:
            _log.error("database is away", error=str(error).strip())

    def end(self) -> None:
        """PostgreSQL has answered."""
        if self._is_on:
            self._is_on = False
            _log.info("database is back")

    def is_known(self) -> bool:
        """Say whether to do without it for now; False to one caller each second, who looks."""
        if not self._is_on:
            return False
        with self._lock:
            now = self._clock()
            if now < self._look_at:
                return True
            self._look_at = now + _LOOK_SECONDS
            return False


OUTAGE: Final = Outage()
