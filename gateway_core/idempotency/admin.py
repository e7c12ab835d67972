"""Keys for staff: what became of them. What was answered is nobody's business here."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.contrib import admin

from gateway_core.idempotency.models import IdempotencyRecord

if TYPE_CHECKING:
    from django.http import HttpRequest

    RecordAdmin = admin.ModelAdmin[IdempotencyRecord]
else:
    RecordAdmin = admin.ModelAdmin


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(RecordAdmin):
    """Newest first, read-only."""

    list_display = ("created_at", "user", "route", "state", "status", "code", "expires_at")
    list_filter = ("state",)
    list_select_related: ClassVar = ("user",)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("=key",)
    search_help_text = "A whole key."
    exclude = ("scope", "fingerprint", "encrypted_answer")
    actions = None

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Requests make them."""
        return False

    def has_change_permission(
        self, _request: HttpRequest, _obj: IdempotencyRecord | None = None
    ) -> bool:
        """Requests end them."""
        return False

    def has_delete_permission(
        self, _request: HttpRequest, _obj: IdempotencyRecord | None = None
    ) -> bool:
        """Time deletes them: a key that is freed by hand lets its work be done twice."""
        return False
