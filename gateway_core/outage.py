"""Whether something that processes share is away, as far as this process knows.

Whoever calls what is away waits for nothing, and requests would queue for that. So while it is
known to be away all do without it at once, but for one of them each second, who looks.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_SECONDS: Final = 1.0


class Outage:
    """Begins with a failure and ends with the next answer; each is said once. Of any thread's.

    Args:
        log: hears of both; of ``gateway_core.logging``.
        away: the event that begins it.
        back: the event that ends it.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        log: Any,
        *,
        away: str,
        back: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._away = away
        self._back = back
        self._clock = clock
        self._lock = threading.Lock()
        self._is_on = False
        self._look_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the last call failed."""
        return self._is_on

    def begin(self, error: Exception, **keys: Any) -> None:
        """Note a failure. The keys go to the log."""
        with self._lock:
            was_on, self._is_on = self._is_on, True
            self._look_at = self._clock() + _LOOK_SECONDS
        if not was_on:
            self._log.warning(self._away, error=str(error).strip() or type(error).__name__, **keys)

    def end(self) -> bool:
        """Note an answer; say to one caller that it ends the outage."""
        if not self._is_on:
            return False
        with self._lock:
            was_on, self._is_on = self._is_on, False
        if was_on:
            self._log.info(self._back)
        return was_on

    def is_known(self) -> bool:
        """Say whether to do without it for now: False to one caller each second, who looks."""
        return self._is_on and not self.is_time_to_look()

    def is_time_to_look(self) -> bool:
        """Say so to one caller each second."""
        with self._lock:
            now = self._clock()
            if now < self._look_at:
                return False
            self._look_at = now + _LOOK_SECONDS
            return True
