from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Q

from gateway_core.admin import ReadOnlyAdmin
from letta_proxy.models import LettaAccount, OwnedResource
from letta_proxy.rules import admin as rules_admin  # noqa: F401 - it registers itself

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


class ThingsAdmin(ReadOnlyAdmin):
    """What stands for something in Letta. Search is by whole ids, each by an index.

    Attributes:
        letta_ids: the fields that hold ids in Letta.
    """

    search_fields = ("pk",)
    letta_ids: ClassVar[tuple[str, str]]

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
            one, other = self.letta_ids
            return queryset.filter(Q((one, term)) | Q((other, term))), False


@admin.register(LettaAccount)
class LettaAccountAdmin(ThingsAdmin):
    """Which Letta organization and user stand for whom."""

    list_display = ("user_id", "state", "organization_id", "letta_user_id", "created_at")
    list_filter = ("state", "created_at")
    fields = ("user_id", "state", "organization_id", "letta_user_id", "claimed_at", "created_at")
    search_help_text = "The whole user id, organization id or Letta user id."
    letta_ids = ("organization_id", "letta_user_id")


@admin.register(OwnedResource)
class OwnedResourceAdmin(ThingsAdmin):
    """What users have made in Letta."""

    list_display = ("upstream_id", "kind", "user_id", "agent_id", "created_at")
    list_filter = ("kind", "created_at")
    fields = ("kind", "upstream_id", "user_id", "agent_id", "created_at")
    search_help_text = "The whole user id, or the id in Letta of the thing or its agent."
    letta_ids = ("upstream_id", "agent_id")
