from __future__ import annotations

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """Users' agents."""

    name = "agents"

    def ready(self) -> None:
        """Let Django find the checks; tell the apps below what is kept here."""
        from accounts import holdings  # noqa: PLC0415 - needs loaded apps
        from agents import checks  # noqa: F401, PLC0415 - settings must be loaded first
        from agents.drivers import template_keeper  # noqa: PLC0415 - needs loaded apps
        from agents.holdings import ENCRYPTED, HOLDER  # noqa: PLC0415 - needs loaded apps
        from agents.models import Agent  # noqa: PLC0415 - needs loaded apps
        from agents.roster import AgentRoster  # noqa: PLC0415 - needs loaded apps
        from agents.upgrades.fleets.services import KIND  # noqa: PLC0415 - needs loaded apps
        from agents.upgrades.fleets.working import work  # noqa: PLC0415 - needs loaded apps
        from gateway_core import encrypted  # noqa: PLC0415 - needs loaded apps
        from gateway_core.jobs.services import register  # noqa: PLC0415 - needs loaded apps
        from letta_proxy.services import register_roster  # noqa: PLC0415 - needs loaded apps
        from templates_app.services import (  # noqa: PLC0415 - needs loaded apps
            register_keeper,
            register_use,
        )

        register(KIND, work)
        holdings.register(HOLDER)
        for column in ENCRYPTED:
            encrypted.register(column)
        register_roster(AgentRoster())
        register_keeper(template_keeper)
        register_use(Agent.objects.is_any_made_from)
