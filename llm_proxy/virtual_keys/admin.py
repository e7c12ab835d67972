from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib import admin

from llm_proxy.virtual_keys.models import VirtualKey

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    Base = admin.ModelAdmin[VirtualKey]
else:
    Base = admin.ModelAdmin  # at run time not generic


@admin.register(VirtualKey)
class VirtualKeyAdmin(Base):
    """Whose keys there are and in what state. Keys make themselves; no page shows a value."""

    list_display = ("id", "user", "kind", "state", "created_at")
    list_filter = ("state", "kind", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__email",)
    search_help_text = "The whole e-mail address or id of the user, or the key's SHA-256."
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fields = ("id", "user", "kind", "state", "token_hash", "created_at", "updated_at")
    readonly_fields = fields

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[VirtualKey], search_term: str
    ) -> tuple[QuerySet[VirtualKey], bool]:
        """Exact matches only, each by an index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if "@" in term:
            return queryset.filter(user__email__in={term, term.lower()}), False
        try:
            return queryset.filter(user_id=UUID(term)), False
        except ValueError:
            return queryset.filter(token_hash=term), False

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Keys are made on first use."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: VirtualKey | None = None) -> bool:
        """LiteLLM would not hear of a change."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: VirtualKey | None = None) -> bool:
        """LiteLLM would keep the key."""
        return False
