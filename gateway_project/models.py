"""The roof's tables."""

from __future__ import annotations

from gateway_project.sentinel.models import UpstreamOperation
from gateway_project.system.models import BreakerTrip

__all__ = ("BreakerTrip", "UpstreamOperation")
