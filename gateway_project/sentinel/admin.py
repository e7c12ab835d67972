from __future__ import annotations

from django.contrib import admin

from gateway_core.admin import ReadOnlyAdmin
from gateway_project.sentinel.models import UpstreamOperation


@admin.register(UpstreamOperation)
class UpstreamOperationAdmin(ReadOnlyAdmin):
    """To look at; ``manage.py check_upstreams`` writes it."""

    list_display = ("method", "path", "upstream", "state", "first_seen", "last_seen")
    list_display_links = ("path",)
    list_filter = ("upstream", "state")
    search_fields = ("path",)
