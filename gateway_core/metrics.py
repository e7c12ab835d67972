"""Prometheus metrics. Labels come from closed sets; none names a user."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from gateway_core.context import RequestRecord

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

REQUESTS = Counter(
    "gateway_requests",
    "Requests answered, by error code (- when there was none).",
    ["route", "operation", "status", "code"],
)
REQUEST_SECONDS = Histogram(
    "gateway_request_seconds", "Time to the last byte.", ["route"], buckets=_SECONDS
)
FIRST_BYTE_SECONDS = Histogram(
    "gateway_first_byte_seconds", "Time to the first byte.", ["route"], buckets=_SECONDS
)
RESPONSE_BYTES = Counter("gateway_response_bytes", "Bytes of response bodies.", ["route"])
IN_FLIGHT = Gauge(
    "gateway_requests_in_flight",
    "Requests being answered.",
    ["route"],
    multiprocess_mode="livesum",
)
CACHE_LOOKUPS = Counter("gateway_cache_lookups", "Process-local caches.", ["cache", "outcome"])
MEMORY_RATIO = Gauge(
    "gateway_memory_ratio",
    "Memory used, as part of what may be; of the process that has the most.",
    multiprocess_mode="livemax",
)
MEMORY_SHORT = Gauge(
    "gateway_memory_short",
    "Processes that begin nothing new for want of memory.",
    multiprocess_mode="livesum",
)
MEMORY_SHORTAGES = Counter("gateway_memory_shortages", "Times that memory has become short.")
RATE_DECISIONS = Counter(
    "gateway_rate_decisions",
    "Requests counted: by class, refusal (none when let through), and for whom the limit held: "
    "all processes, or this process alone while Valkey was away.",
    ["class", "refusal", "held_for"],
)


def count(record: RequestRecord) -> None:
    """Count a finished request."""
    _requests(record.route, record.operation, record.status, record.error_code or "-").inc()
    seconds, first_byte_seconds, response_bytes = _of_route(record.route)
    seconds.observe(record.ended - record.started)
    if record.first_byte:
        first_byte_seconds.observe(record.first_byte - record.started)
    response_bytes.inc(record.bytes_out)


def count_decision(name: str, refusal: str, held_for: str) -> None:
    """Count a decision on whether a request may go on."""
    _decisions(name, refusal, held_for).inc()


# Finding the child of a set of labels takes a lock and costs more than counting.
@cache
def _requests(route: str, operation: str, status: int, code: str) -> Counter:
    return REQUESTS.labels(route, operation, str(status), code)


@cache
def _of_route(route: str) -> tuple[Histogram, Histogram, Counter]:
    return (
        REQUEST_SECONDS.labels(route),
        FIRST_BYTE_SECONDS.labels(route),
        RESPONSE_BYTES.labels(route),
    )


@cache
def _decisions(name: str, refusal: str, held_for: str) -> Counter:
    return RATE_DECISIONS.labels(name, refusal, held_for)
