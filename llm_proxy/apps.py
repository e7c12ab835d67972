from __future__ import annotations

from django.apps import AppConfig


class LLMProxyConfig(AppConfig):
    """The app, and its checks."""

    name = "llm_proxy"
    verbose_name = "Models and keys"

    def ready(self) -> None:
        """Let Django find the system checks."""
        from llm_proxy import checks  # noqa: F401, PLC0415 - models must be loaded first
