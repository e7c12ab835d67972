from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Listens to both planes."""

    name = "gateway_core.audit"
    label = "audit"
    verbose_name = "Audit trail"

    def ready(self) -> None:
        """Put every finished request of both planes on the trail."""
        from gateway_core import access  # noqa: PLC0415 - models must be loaded first
        from gateway_core.audit import checks, trail  # noqa: F401, PLC0415 - as above

        access.sinks.append(trail.keep)
