from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from gateway_project.sentinel.models import UpstreamOperation

if TYPE_CHECKING:
    from django.http import HttpRequest

    Base = admin.ModelAdmin[UpstreamOperation]
else:
    Base = admin.ModelAdmin  # at run time not generic


@admin.register(UpstreamOperation)
class UpstreamOperationAdmin(Base):
    """To look at; ``manage.py check_upstreams`` writes it."""

    list_display = ("method", "path", "upstream", "state", "first_seen", "last_seen")
    list_display_links = ("path",)
    list_filter = ("upstream", "state")
    search_fields = ("path",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Upstreams say what there is."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """What is offered stands in the catalogue, in code."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """What is gone stays to be seen."""
        return False
