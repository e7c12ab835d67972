"""Several processes on one socket: started, replaced when they die, and stopped together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from prometheus_client import multiprocess
from uvicorn.config import STARTUP_FAILURE

from gateway_core.logging import get_logger
from gateway_project.server.server import Worker

if TYPE_CHECKING:
    import socket
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from gateway_project.server.config import Config

_log = get_logger("gateway.server")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS: Final = 0.1
# One that dies sooner than this after its start is replaced no sooner than this after it.
_SHORT_LIFE_SECONDS: Final = 2.0
_spawning = multiprocessing.get_context("spawn")


class Supervisor:
    """Keeps workers until a signal; a second one kills them.

    Args:
        config: says how many.
        sock: is bound; they all accept from it.
    """

    def __init__(self, config: Config, sock: socket.socket) -> None:
        self._config = config
        self._sock = sock
        self._workers: list[tuple[SpawnProcess, float]] = []
        self._signals: list[int] = []
        self._status = 0

    def run(self) -> int:
        """Serve until a signal, and return the exit status."""
        for number in _SIGNALS:
            signal.signal(number, self._take)
        self._workers = [self._start() for _ in range(self._config.workers)]
        while not self._signals and not self._status:
            time.sleep(_POLL_SECONDS)
            self._replace()
        self._stop()
        return self._status

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _start(self) -> tuple[SpawnProcess, float]:
        process = _spawning.Process(target=_work, args=(self._config, self._sock))
        process.start()
        return process, time.monotonic()

    def _replace(self) -> None:
        now = time.monotonic()
        for place, (worker, started) in enumerate(self._workers):
            if worker.exitcode is None:
                continue
            if worker.exitcode == STARTUP_FAILURE:
                # The next one would fail the same way.
                self._status = STARTUP_FAILURE
                return
            if now - started >= _SHORT_LIFE_SECONDS:
                _log.warning("a worker has ended", pid=worker.pid, status=worker.exitcode)
                _forget(worker)
                self._workers[place] = self._start()

    def _stop(self) -> None:
        # Or clients would still be connected to it, and nobody would serve them.
        self._sock.close()
        self._tell(signal.SIGTERM)
        told = len(self._signals)
        while any(worker.exitcode is None for worker, _ in self._workers):
            time.sleep(_POLL_SECONDS)
            if len(self._signals) > told:
                self._tell(signal.SIGKILL)
        for worker, _ in self._workers:
            self._status = self._status or int(worker.exitcode != 0)
            _forget(worker)

    def _tell(self, number: signal.Signals) -> None:
        for worker, _ in self._workers:
            if worker.exitcode is None and worker.pid is not None:
                os.kill(worker.pid, number)


def _work(config: Config, sock: socket.socket) -> None:
    """Be a worker."""
    server = Worker(config)
    try:
        config.load()
    except Exception:  # noqa: BLE001 - the outermost handler of the process
        _log.exception("a worker can't start")
        sys.exit(STARTUP_FAILURE)
    server.run([sock])
    sys.exit(int(server.has_failed))


def _forget(worker: SpawnProcess) -> None:
    """Take what a dead worker had under way out of the metrics of all of them."""
    if worker.pid is not None and os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
