"""429: allowed, but not now or not that much."""

from __future__ import annotations

from gateway_core.errors.base import GatewayError
from gateway_core.errors.codes import Code


class QuotaError(GatewayError):
    """Allowed, but not now or not that much."""

    code = Code.QUOTA_RATE_LIMITED
    status = 429
    retryable = True


class RateLimited(QuotaError):
    """Too many requests in the window."""


class TooManyConcurrent(QuotaError):
    """Too many requests at the same time."""

    code = Code.QUOTA_TOO_MANY_CONCURRENT


class BudgetExhausted(QuotaError):
    """The user's budget for the period is spent; a repeat can't succeed before the reset."""

    code = Code.QUOTA_BUDGET_EXHAUSTED
    retryable = False
    detail = (
        "The budget of this account or key is spent. It is renewed with the next budget period."
    )


class CountExhausted(QuotaError):
    """The user has as many of a thing as their plan allows; a repeat can't succeed."""

    code = Code.QUOTA_COUNT_EXHAUSTED
    retryable = False
