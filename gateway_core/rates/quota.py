"""What is allowed, and what was decided."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from math import ceil
from typing import Final

FORM: Final = (
    "Write how many an hour, how many in one go and, where that is limited, how many at once: "
    "1000/h:100:32."
)
_FORM: Final = re.compile(r"([1-9][0-9]{0,8})/h:([1-9][0-9]{0,6})(?::([1-9][0-9]{0,4}))?").fullmatch
_HOUR_SECONDS: Final = 3600


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
        return -(-self.burst * _HOUR_SECONDS // self.per_hour)  # rounded up, exactly

    def share(self, processes: int) -> Quota:
        """Return what one of several processes may allow that can't ask each other."""
        return replace(
            self,
            per_hour=ceil(self.per_hour / processes),
            burst=max(1, self.burst // processes),
            at_once=max(1, self.at_once // processes) if self.at_once else 0,
        )

    def rate_alone(self) -> Quota:
        """Return the same for what nobody holds a place for while it is under way."""
        return replace(self, at_once=0) if self.at_once else self

    def __str__(self) -> str:
        """Return the form that ``quota`` reads."""
        shown = f"{self.per_hour}/h:{self.burst}"
        return f"{shown}:{self.at_once}" if self.at_once else shown


@lru_cache(maxsize=10_000)
def quota(name: str, form: str) -> Quota:
    """Return what a form like ``1000/h:100:32`` allows: an hour, in one go, at once.

    Raises:
        ValueError: it is not of that form.
    """
    match = _FORM(form)
    if match is None:
        raise ValueError(FORM)
    per_hour, burst, at_once = (int(number or 0) for number in match.groups())
    return Quota(name=name, per_hour=per_hour, burst=burst, at_once=at_once)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a request may go on, and what is left.

    Attributes:
        remaining: requests that could follow at once.
        retry_after: seconds until another could be allowed; 0: at once.
        full_after: seconds until as many as ever could follow.
        under_way: how many are at this time, where that is limited.
    """

    quota: Quota
    refusal: Refusal
    remaining: int
    retry_after: float
    full_after: float
    under_way: int = 0

    @property
    def reset_after(self) -> int:
        """Whole seconds until there is more: one for who has none left, all for the others."""
        return ceil(self.full_after if self.remaining else self.retry_after)

    def headers(self) -> dict[str, str]:
        """Return the header fields: draft-ietf-httpapi-ratelimit-headers-10, and older ones."""
        quota, reset = self.quota, self.reset_after
        return {
            "ratelimit-policy": f'"{quota.name}";q={quota.burst};w={quota.window_seconds}',
            "ratelimit": f'"{quota.name}";r={self.remaining};t={reset}',
            "x-ratelimit-limit": str(quota.burst),
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": str(reset),
        }

    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the same as ASGI has them."""
        return tuple((name.encode(), value.encode()) for name, value in self.headers().items())
