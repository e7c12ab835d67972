"""Keys for staff: what became of them. What was answered is nobody's business here."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin

from gateway_core.admin import ReadOnlyAdmin
from gateway_core.idempotency.models import IdempotencyRecord


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ReadOnlyAdmin):
    """Newest first.

    Requests make and end them, time deletes them: a key that is freed by hand lets its work be done
    twice.
    """

    list_display = ("created_at", "user", "route", "state", "status", "code", "expires_at")
    list_filter = ("state",)
    list_select_related: ClassVar = ("user",)
    list_per_page = 50
    search_fields = ("=key",)
    search_help_text = "A whole key."
    exclude = ("scope", "fingerprint", "encrypted_answer")
    actions = None
