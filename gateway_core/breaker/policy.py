"""When a breaker opens and closes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a breaker opens and closes.

    Attributes:
        window_seconds: what is looked back on.
        minimum_calls: in the window, before anything is concluded.
        failure_rate: opens it, as a part of the calls.
        slow_seconds: until the head of the answer; longer is slow.
        slow_rate: opens it, as a part of the calls.
        callers: so many different ones must have met what is wrong, if callers can bring it about.
        open_seconds: before probes begin.
        probes: how many must succeed, and how many are tried at once.
        probe_seconds: for which one has its place among those; what comes of it later still counts,
            if it does so in time.
    """

    window_seconds: float = 30.0
    minimum_calls: int = 5
    failure_rate: float = 0.5
    slow_seconds: float = 60.0
    slow_rate: float = 0.9
    callers: int = 3
    open_seconds: float = 60.0
    probes: int = 3
    probe_seconds: float = 10.0
