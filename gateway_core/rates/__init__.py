"""How often and how much at once: limits that hold for all processes together."""

from gateway_core.rates.classes import RateClass
from gateway_core.rates.limiter import LIMITER, RateLimiter
from gateway_core.rates.own import OwnBuckets
from gateway_core.rates.quota import Decision, Quota, Refusal, quota

__all__ = (
    "LIMITER",
    "Decision",
    "OwnBuckets",
    "Quota",
    "RateClass",
    "RateLimiter",
    "Refusal",
    "quota",
)
