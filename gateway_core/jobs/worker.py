"""The thread that does jobs in a process that serves, where no process of its own does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection

from gateway_core.jobs.services import work_once
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

_log = get_logger("gateway.jobs")

_worker: Worker | None = None


class Worker:
    """Does what is due, one job after the other, until it is stopped.

    Args:
        interval_seconds: between two looks while there is nothing to do.
        work: does one job; says whether there was one.
    """

    def __init__(self, *, interval_seconds: float, work: Callable[[], bool] = work_once) -> None:
        self._interval_seconds = interval_seconds
        self._work = work
        self._is_stopping = threading.Event()
        self._is_failing = False

    def run(self) -> None:
        """Work until ``stop``."""
        while not self._is_stopping.is_set():
            if not self._round():
                self._is_stopping.wait(self._interval_seconds)

    def stop(self) -> None:
        """Begin nothing more. What is under way is begun anew by somebody else."""
        self._is_stopping.set()

    def _round(self) -> bool:
        try:
            found = self._work()
        except Exception as exc:  # noqa: BLE001 - the outermost handler of the thread
            if not self._is_failing:
                _log.warning("jobs can't be looked for", error=str(exc))
            self._is_failing = True
            return False
        finally:
            connection.close()
        self._is_failing = False
        return found


def start() -> None:
    """Begin to do jobs in this process, unless that is left to ``manage.py run_jobs``."""
    global _worker  # noqa: PLW0603 - one in a process
    if _worker is None and settings.JOBS_SECONDS:
        _worker = Worker(interval_seconds=settings.JOBS_SECONDS)
        threading.Thread(target=_worker.run, name="jobs", daemon=True).start()


def stop() -> None:
    """End the thread of this process."""
    global _worker
    worker, _worker = _worker, None
    if worker is not None:
        worker.stop()
