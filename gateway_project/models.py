"""The roof's tables."""

from __future__ import annotations

from gateway_project.sentinel.models import UpstreamOperation

__all__ = ("UpstreamOperation",)
