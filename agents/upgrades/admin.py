from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from agents.upgrades.fleets.models import FleetAgent
from agents.upgrades.models import Migration

if TYPE_CHECKING:
    from django.http import HttpRequest

    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin  # at run time not generic


class _Told(Base):
    """What has become of upgrades: nothing to add, change or delete."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Owners ask for upgrades, staff for fleets, both by the API or a command."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """It is a record."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """It is what a rollback needs."""
        return False


@admin.register(Migration)
class MigrationAdmin(_Told):
    """Upgrades and rollbacks of single agents; the states that they keep are sealed."""

    list_display = ("id", "agent", "direction", "from_version", "to_version", "state")
    list_filter = ("state", "direction")
    list_select_related = ("agent",)
    search_fields = ("agent__agent_id__exact",)
    search_help_text = "The whole id of the agent in Letta."
    exclude = ("sealed",)


@admin.register(FleetAgent)
class FleetAgentAdmin(_Told):
    """What a fleet migration has done to each agent."""

    list_display = ("agent_id", "job", "position", "from_version", "result")
    list_filter = ("result",)
    list_select_related = ("job",)
    search_fields = ("agent_id__exact",)
    search_help_text = "The whole id of the agent in Letta."
    raw_id_fields = ("job", "row", "migration")
