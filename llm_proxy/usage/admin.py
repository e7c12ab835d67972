"""Usage for staff: looked at, never changed, and cheap to look at however much there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q

from gateway_core.admin import ReadOnlyAdmin
from gateway_core.audit.admin import BoundedPaginator
from gateway_core.audit.models import AuditEvent
from llm_proxy.usage.models import UsageRecord

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    Records = QuerySet[UsageRecord]


class OpenFilter(admin.SimpleListFilter):
    """Calls whose cost is still looked for."""

    title = "cost"
    parameter_name = "open"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, str]]:
        """Return the one choice."""
        return [("1", "looked for")]

    def queryset(self, _request: HttpRequest, queryset: Records) -> Records:
        """Apply the choice."""
        return queryset.filter(look_at__isnull=False) if self.value() else queryset


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    """Newest first. Searches by index only: whole ids.

    Records come from events, and end by retention and with their user.
    """

    list_display = (
        *("at", "kind", "user_id", "model", "agent_id", "tokens_in", "tokens_out", "dollars"),
        "status",
    )
    list_filter = ("at", "kind", OpenFilter)
    list_per_page = 100
    paginator = BoundedPaginator
    search_fields = ("call_id", "user_id", "api_key_id", "id")
    search_help_text = "A whole id: of a user, an API key, a request, a call or a record."
    actions = None

    @admin.display(description="cost")
    def dollars(self, record: UsageRecord) -> str | None:
        """Without the zeros at its end."""
        return None if record.cost is None else f"{record.cost.normalize():f}"

    def get_search_results(
        self, _request: HttpRequest, queryset: Records, search_term: str
    ) -> tuple[Records, bool]:
        """Match whole ids only; no other search can use an index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        # A record has the id of its request's event, which has an index for that.
        events = AuditEvent.objects.filter(request_id=term).values_list("pk", flat=True)
        wanted = Q(call_id=term) | Q(pk__in=list(events))
        try:
            identifier = UUID(term)
        except ValueError:
            return queryset.filter(wanted), False
        by_id = Q(user_id=identifier) | Q(api_key_id=identifier) | Q(pk=identifier)
        return queryset.filter(wanted | by_id), False
