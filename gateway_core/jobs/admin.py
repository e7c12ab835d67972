from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from gateway_core.jobs.models import Job

if TYPE_CHECKING:
    from django.http import HttpRequest

    Base = admin.ModelAdmin[Job]
else:
    Base = admin.ModelAdmin  # at run time not generic


@admin.register(Job)
class JobAdmin(Base):
    """What is done in the background, how far it is, and why it does not go on."""

    list_display = ("kind", "subject", "state", "done", "total", "attempts", "created_at")
    list_filter = ("state", "kind", "created_at")
    search_fields = ("subject__exact",)
    search_help_text = "The whole subject, such as a user's id."
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Jobs come from what users and staff ask for."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Job | None = None) -> bool:
        """A job's worker alone knows how far it is."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Job | None = None) -> bool:
        """Jobs that have ended are thrown away in time."""
        return False
