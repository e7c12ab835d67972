"""The thread that looks calls up in LiteLLM's log while the gateway serves; one works at a time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import connection
from django.utils import timezone

from gateway_core.advisory import AlreadyRunning, only_one
from gateway_core.logging import get_logger
from llm_proxy.usage.client import open_books
from llm_proxy.usage.due_calls import has_due, look_up_due

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_log = get_logger("gateway.usage")
_STOP_SECONDS: Final = 5.0

_collector: Collector | None = None


class Collector:
    """Looks up what is due every so often, until it is stopped.

    Args:
        interval_seconds: between two rounds.
        now: the time, aware of its zone.
    """

    def __init__(
        self, *, interval_seconds: float, now: Callable[[], datetime] = timezone.now
    ) -> None:
        self._interval_seconds = interval_seconds
        self._now = now
        self._is_stopping = threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="usage-collector", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """End; what is under way has that long."""
        self._is_stopping.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._is_stopping.wait(self._interval_seconds):
            self._round()

    def _round(self) -> None:
        try:
            now = self._now()
            if has_due(now):
                with only_one("usage collector"), open_books() as books:
                    looked = look_up_due(books, now)
                if looked.corrected:
                    _log.info("usage corrected", calls=looked.corrected)
        except AlreadyRunning:
            return
        except Exception as exc:  # noqa: BLE001 - the outermost handler of the thread
            if not self._is_failing:
                _log.warning("calls can't be looked up", error=str(exc))
            self._is_failing = True
            return
        finally:
            connection.close()
        self._is_failing = False


def start() -> None:
    """Begin to look calls up, unless that is left to others."""
    global _collector  # noqa: PLW0603 - one in a process
    if _collector is None and settings.USAGE_COLLECT_SECONDS and settings.LITELLM_BASE_URL:
        _collector = Collector(interval_seconds=settings.USAGE_COLLECT_SECONDS)
        _collector.start()


def stop() -> None:
    """End the thread of this process."""
    global _collector
    collector, _collector = _collector, None
    if collector is not None:
        collector.stop(_STOP_SECONDS)
