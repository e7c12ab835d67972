from __future__ import annotations

from django.contrib import admin

from gateway_core.admin import ReadOnlyAdmin
from gateway_core.jobs.models import Job


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """What is done in the background, how far it is, and why it does not go on.

    A job's worker alone knows how far it is; those that have ended are thrown away in time.
    """

    list_display = ("kind", "subject", "state", "done", "total", "attempts", "created_at")
    list_filter = ("state", "kind", "created_at")
    search_fields = ("subject__exact",)
    search_help_text = "The whole subject, such as a user's id."
