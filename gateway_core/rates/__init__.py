"""How often and how much at once: limits that hold for all processes together."""

from gateway_core.rates.limiter import RateLimiter
from gateway_core.rates.quota import Decision, Quota, Refusal

__all__ = ("Decision", "Quota", "RateLimiter", "Refusal")
