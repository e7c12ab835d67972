"""Probes run side by side, each within its time, and their findings kept for a moment."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gateway_core.errors import GatewayError
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_log = get_logger("gateway.readiness")

PROBE_SECONDS: Final = 2.0


class Status(StrEnum):
    """From good to bad. Only ``failed`` takes a replica out of service."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


_ORDER: Final = list(Status)


class Impaired(Exception):
    """What a probe found, in words that anybody may read: no hosts, no keys."""

    def __init__(self, status: Status, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A question to something that the gateway needs.

    Attributes:
        name: of what is asked.
        ask: returns a short detail; raises Impaired, or any GatewayError for no proper answer.
        no_answer: what no proper answer in time means.
    """

    name: str
    ask: Callable[[], str]
    no_answer: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a probe found, after how many milliseconds."""

    name: str
    status: Status
    latency_ms: float
    detail: str

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return self.status is Status.OK


@dataclass(frozen=True, slots=True)
class Report:
    """All findings. The worst of them is the status."""

    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """The worst status."""
        return max((finding.status for finding in self.findings), key=_ORDER.index)


_STOPPING: Final = Report(
    (
        Finding(
            name="process",
            status=Status.FAILED,
            latency_ms=0.0,
            detail="is being stopped; send nothing new here",
        ),
    )
)


class Readiness:
    """Asks all probes at once, at the most every ``ttl`` seconds, for all callers together.

    Args:
        probes: what is asked.
        ttl: returns for how many seconds a report is good.
        time_limit: seconds that a probe has.
        clock: seconds, monotonic.
        is_stopping: says whether this process is about to end, which nobody has to be asked for.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        *,
        ttl: Callable[[], float],
        time_limit: float = PROBE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_stopping = is_stopping
        self._probes = probes
        self._ttl = ttl
        self._time_limit = time_limit
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, Future[Finding]] = {}
        self._report: Report | None = None
        self._good_until = 0.0

    def report(self) -> Report:
        """Return the report that is still good, or a new one. Blocks for ``time_limit`` seconds."""
        if self._is_stopping():
            return _STOPPING
        with self._lock:
            if self._report is None or self._clock() >= self._good_until:
                self._report = self._ask_all()
                self._good_until = self._clock() + self._ttl()
            return self._report

    def forget(self) -> None:
        """Let the next caller have a new report."""
        with self._lock:
            self._report = None

    def _ask_all(self) -> Report:
        deadline = time.monotonic() + self._time_limit
        begun = [(probe, self._begin(probe)) for probe in self._probes]
        return Report(tuple(self._await(probe, future, deadline) for probe, future in begun))

    def _begin(self, probe: Probe) -> Future[Finding]:
        """Ask on a thread, unless the question before has not come back yet."""
        running = self._running.get(probe.name)
        if running is not None and not running.done():
            return running
        future: Future[Finding] = Future()
        self._running[probe.name] = future
        threading.Thread(
            target=_ask, args=(probe, future), name=f"probe-{probe.name}", daemon=True
        ).start()
        return future

    def _await(self, probe: Probe, future: Future[Finding], deadline: float) -> Finding:
        try:
            return future.result(timeout=max(0.0, deadline - time.monotonic()))
        except StillRunning:
            return Finding(
                name=probe.name,
                status=probe.no_answer,
                latency_ms=self._time_limit * 1000,
                detail="no answer in time",
            )


def _ask(probe: Probe, future: Future[Finding]) -> None:
    started = time.monotonic()
    status = Status.OK
    try:
        detail = probe.ask()
    except Impaired as impaired:
        status, detail = impaired.status, impaired.detail
    except GatewayError as error:
        status, detail = probe.no_answer, error.code.replace("_", " ")
    except Exception:  # noqa: BLE001 - the end of a thread; the report has to say something
        _log.exception("probe broke", probe=probe.name)
        status, detail = probe.no_answer, "the probe itself failed; see the log"
    latency_ms = round((time.monotonic() - started) * 1000, 1)
    future.set_result(Finding(name=probe.name, status=status, latency_ms=latency_ms, detail=detail))
