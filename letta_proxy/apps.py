from __future__ import annotations

from django.apps import AppConfig


class LettaProxyConfig(AppConfig):
    """The way to Letta."""

    name = "letta_proxy"
    verbose_name = "Letta"

    def ready(self) -> None:
        """Register checks, what Letta holds of users, and who owns an agent that calls a model."""
        from accounts import holdings  # noqa: PLC0415 - models must be loaded first
        from letta_proxy import checks  # noqa: F401, PLC0415 - settings must be loaded first
        from letta_proxy.holdings import HOLDER  # noqa: PLC0415 - likewise
        from letta_proxy.ownership import owns_agent  # noqa: PLC0415 - models must be loaded first
        from llm_proxy.services import register_owner_check  # noqa: PLC0415 - likewise

        holdings.register(HOLDER)
        register_owner_check(owns_agent)
