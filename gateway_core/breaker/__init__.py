"""Circuit breakers: an upstream that fails is left alone for a while, then tried with care."""

from gateway_core.breaker.breaker import Breaker
from gateway_core.breaker.policy import Policy

__all__ = ("Breaker", "Policy")
