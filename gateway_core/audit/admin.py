"""The trail for staff: looked at, never changed, and cheap to look at however long it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q
from django.utils.functional import cached_property
from django.utils.module_loading import import_string

from gateway_core.audit.models import AuditEvent
from gateway_core.errors import Code

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    Events = QuerySet[AuditEvent]
    EventAdmin = admin.ModelAdmin[AuditEvent]
    EventPaginator = Paginator[AuditEvent]
else:
    EventAdmin = admin.ModelAdmin
    EventPaginator = Paginator

_COUNTED_ROWS: Final = 10_000
_CHANGES: Final = "changes"


class BoundedPaginator(EventPaginator):
    """Counts no further than the pages that anybody turns to."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or the bound when there are more."""
        return cast("Events", self.object_list)[:_COUNTED_ROWS].count()


class RouteFilter(admin.SimpleListFilter):
    """By route; the names come from the settings, not from a search through the table."""

    title = parameter_name = "route"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, str]]:
        """Return the routes there are."""
        return [(route, route) for route in import_string(settings.AUDIT_ROUTES)()]

    def queryset(self, _request: HttpRequest, queryset: Events) -> Events:
        """Apply the choice."""
        return queryset.filter(route=self.value()) if self.value() else queryset


class CodeFilter(admin.SimpleListFilter):
    """By error code, from the closed vocabulary."""

    title = parameter_name = "code"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, str]]:
        """Return the codes there are."""
        return [(code.value, code.value) for code in Code]

    def queryset(self, _request: HttpRequest, queryset: Events) -> Events:
        """Apply the choice."""
        return queryset.filter(code=self.value()) if self.value() else queryset


class StatusFilter(admin.SimpleListFilter):
    """By class of HTTP status, or changes, which have none."""

    title = parameter_name = "status"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, str]]:
        """Return the classes."""
        return [*((str(first), f"{first}xx") for first in range(1, 6)), (_CHANGES, _CHANGES)]

    def queryset(self, _request: HttpRequest, queryset: Events) -> Events:
        """Apply the choice."""
        value = self.value()
        if value == _CHANGES:
            return queryset.filter(status=None)
        if value and value.isdecimal():
            return queryset.filter(status__range=(int(value) * 100, int(value) * 100 + 99))
        return queryset


@admin.register(AuditEvent)
class AuditEventAdmin(EventAdmin):
    """Newest first. Searches by index only: a request id, a user id, an event's own id."""

    list_display = (
        *("at", "action", "status", "code", "who"),
        *("resource", "client_ip", "duration_ms", "request_id"),
    )
    list_filter = ("at", "plane", RouteFilter, StatusFilter, CodeFilter)
    list_per_page = 100
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("request_id", "user_id", "id")
    search_help_text = "A whole request id, user id or event id."
    actions = None

    @admin.display(description="user")
    def who(self, event: AuditEvent) -> str:
        """E-mail address, or the id of somebody who has none."""
        return event.user_email or str(event.user_id or "")

    def get_search_results(
        self, _request: HttpRequest, queryset: Events, search_term: str
    ) -> tuple[Events, bool]:
        """Match whole ids only; no other search can use an index."""
        if not search_term:
            return queryset, False
        wanted = Q(request_id=search_term)
        try:
            identifier = UUID(search_term)
        except ValueError:
            return queryset.filter(wanted), False
        return queryset.filter(wanted | Q(user_id=identifier) | Q(pk=identifier)), False

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Nobody writes history by hand."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: AuditEvent | None = None) -> bool:
        """Nobody rewrites it."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: AuditEvent | None = None) -> bool:
        """Nobody erases it."""
        return False
