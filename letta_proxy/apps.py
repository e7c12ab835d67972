from __future__ import annotations

from django.apps import AppConfig


class LettaProxyConfig(AppConfig):
    """The way to Letta."""

    name = "letta_proxy"
    verbose_name = "Letta"

    def ready(self) -> None:
        """Let Django find the system checks."""
        from letta_proxy import checks  # noqa: F401, PLC0415 - settings must be loaded first
