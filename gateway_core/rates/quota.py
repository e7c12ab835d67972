"""What is allowed, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import ceil

_HOUR_SECONDS = 3600


class Refusal(IntEnum):
    """Why something is not allowed now."""

    NONE = 0
    RATE = 1
    CONCURRENCY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A token bucket, and how many at once.

    Attributes:
        name: of the class of requests, as the caller sees it.
        per_hour: how many in the long run.
        burst: how many in one go, after a rest.
        at_once: how many under way at the same time; 0: no limit.
    """

    name: str
    per_hour: int
    burst: int
    at_once: int = 0

    @property
    def per_second(self) -> float:
        """Tokens that come back in a second."""
        return self.per_hour / _HOUR_SECONDS

    @property
    def window_seconds(self) -> int:
        """Return how long an empty bucket takes to be full."""
        return ceil(self.burst / self.per_second) if self.per_hour else _HOUR_SECONDS

    def share(self, processes: int) -> Quota:
        """Return what one of several processes may allow that can't ask each other."""
        return Quota(
            name=self.name,
            per_hour=ceil(self.per_hour / processes),
            burst=max(1, self.burst // processes),
            at_once=max(1, self.at_once // processes) if self.at_once else 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a request may go on, and what is left.

    Attributes:
        remaining: requests that could follow at once.
        retry_after: seconds until a refused request could be allowed.
        reset_after: seconds until the bucket is full.
    """

    quota: Quota
    refusal: Refusal
    remaining: int
    retry_after: float
    reset_after: float

    def headers(self) -> dict[str, str]:
        """Return the header fields: draft-ietf-httpapi-ratelimit-headers-10, and older ones."""
        quota, reset = self.quota, str(ceil(self.reset_after))
        return {
            "ratelimit-policy": f'"{quota.name}";q={quota.burst};w={quota.window_seconds}',
            "ratelimit": f'"{quota.name}";r={self.remaining};t={reset}',
            "x-ratelimit-limit": str(quota.burst),
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": reset,
        }
