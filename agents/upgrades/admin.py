from __future__ import annotations

from django.contrib import admin

from agents.upgrades.fleets.models import FleetAgent
from agents.upgrades.models import Migration
from gateway_core.admin import ReadOnlyAdmin


@admin.register(Migration)
class MigrationAdmin(ReadOnlyAdmin):
    """Upgrades and rollbacks of single agents; the states that they keep are encrypted."""

    list_display = ("id", "agent", "direction", "from_version", "to_version", "state")
    list_filter = ("state", "direction")
    list_select_related = ("agent",)
    search_fields = ("agent__agent_id__exact",)
    search_help_text = "The whole id of the agent in Letta."
    exclude = ("encrypted",)


@admin.register(FleetAgent)
class FleetAgentAdmin(ReadOnlyAdmin):
    """What a fleet migration has done to each agent."""

    list_display = ("agent_id", "job", "position", "from_version", "result")
    list_filter = ("result",)
    list_select_related = ("job",)
    search_fields = ("agent_id__exact",)
    search_help_text = "The whole id of the agent in Letta."
    raw_id_fields = ("job", "row", "migration")
