from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Registers what Django and drf-spectacular look for."""

    name = "accounts"

    def ready(self) -> None:
        """Register what is found by having been imported, and what this app holds of users."""
        from accounts import checks, schema  # noqa: F401, PLC0415 - models must be loaded first
        from accounts.holdings import erasure, export  # noqa: PLC0415 - as above
        from accounts.holdings.own import register_own  # noqa: PLC0415 - as above
        from gateway_core.jobs import services as jobs  # noqa: PLC0415 - as above

        register_own()
        jobs.register(erasure.KIND, erasure.work)
        jobs.register(erasure.LATE_KIND, erasure.work_late)
        jobs.register(export.KIND, export.work)
