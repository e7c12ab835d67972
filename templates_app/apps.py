from __future__ import annotations

from django.apps import AppConfig


class TemplatesConfig(AppConfig):
    """Registers the checks, and what is held of a user."""

    name = "templates_app"
    verbose_name = "Agent templates"

    def ready(self) -> None:
        """Let Django find the system checks; tell accounts what is kept here."""
        from accounts import holdings  # noqa: PLC0415 - models must be loaded first
        from templates_app import checks  # noqa: F401, PLC0415 - settings must be loaded first
        from templates_app.holdings import HOLDER  # noqa: PLC0415 - models must be loaded first

        holdings.register(HOLDER)
