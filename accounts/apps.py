from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Registers what Django and drf-spectacular look for."""

    name = "accounts"

    def ready(self) -> None:
        """Let Django find the system checks, and drf-spectacular the authentication scheme."""
        from accounts import checks, schema  # noqa: F401, PLC0415 - models must be loaded first
