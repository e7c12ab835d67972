from __future__ import annotations

from django.apps import AppConfig


class TemplatesConfig(AppConfig):
    """Registers the checks."""

    name = "templates_app"
    verbose_name = "Agent templates"

    def ready(self) -> None:
        """Let Django find the system checks."""
        from templates_app import checks  # noqa: F401, PLC0415 - settings must be loaded first
