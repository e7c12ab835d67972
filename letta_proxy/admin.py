from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, Q

from letta_proxy.models import LettaAccount, OwnedResource
from letta_proxy.rules import admin as rules_admin  # noqa: F401 - it registers itself

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin  # at run time not generic


class ReadOnlyAdmin(Base):
    """To look at. Search is by whole ids, each by an index."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("pk",)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """The gateway writes these rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """The gateway writes these rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """What they stand for would stay behind in Letta."""
        return False

    def matching(self, term: str) -> Q:
        """Return the filter for an id that is no user's."""
        raise NotImplementedError

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """A user's id, or an id in Letta."""
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(user_id=UUID(term)), False
        except ValueError:
            return queryset.filter(self.matching(term)), False


@admin.register(LettaAccount)
class LettaAccountAdmin(ReadOnlyAdmin):
    """Which Letta organization and user stand for whom."""

    list_display = ("user_id", "state", "organization_id", "letta_user_id", "created_at")
    list_filter = ("state", "created_at")
    fields = ("user_id", "state", "organization_id", "letta_user_id", "claimed_at", "created_at")
    search_help_text = "The whole user id, organization id or Letta user id."

    def matching(self, term: str) -> Q:
        """By an id in Letta."""
        return Q(organization_id=term) | Q(letta_user_id=term)


@admin.register(OwnedResource)
class OwnedResourceAdmin(ReadOnlyAdmin):
    """What users have made in Letta."""

    list_display = ("upstream_id", "kind", "user_id", "agent_id", "created_at")
    list_filter = ("kind", "created_at")
    fields = ("kind", "upstream_id", "user_id", "agent_id", "created_at")
    search_help_text = "The whole user id, or the id in Letta of the thing or its agent."

    def matching(self, term: str) -> Q:
        """By an id in Letta."""
        return Q(upstream_id=term) | Q(agent_id=term)
