"""The trail for staff: looked at, never changed, and cheap to look at however long it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.module_loading import import_string

from gateway_core.admin import ReadOnlyAdmin
from gateway_core.audit.models import AuditBatch, AuditEvent, UnsealedChange, WithdrawnState
from gateway_core.errors import Code

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    Events = QuerySet[AuditEvent]
    EventPaginator = Paginator[AuditEvent]
else:
    EventPaginator = Paginator

_COUNTED_ROWS: Final = 10_000
_CHANGES: Final = "changes"
_SEQUENCE_DIGITS: Final = 18


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


class RecordAdmin(ReadOnlyAdmin):
    """History, which nobody writes by hand."""

    actions = None


@admin.register(AuditEvent)
class AuditEventAdmin(RecordAdmin):
    """Newest first. Searches by index only: a request id, a user id, an event's own id."""

    list_display = ("at", "action", "status", "code", "who", "resource", "request_id")
    list_filter = ("at", "plane", RouteFilter, StatusFilter, CodeFilter)
    list_per_page = 100
    paginator = BoundedPaginator
    search_fields = ("request_id", "user_id", "id")
    search_help_text = "A whole request id, user id or event id."
    readonly_fields = ("sealed_in",)
    exclude = ("batch", "replaces")

    @admin.display(description="batch")
    def sealed_in(self, event: AuditEvent) -> str:
        """Lead to the batch that has sealed the event."""
        if event.batch is None:
            return "not sealed yet"
        page = reverse("admin:audit_auditbatch_change", args=[event.batch])
        return format_html('<a href="{}">{}</a>', page, event.batch)

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


@admin.register(AuditBatch)
class AuditBatchAdmin(RecordAdmin):
    """The chain, its end first. ``verify_audit`` says whether it holds."""

    list_display = ("sequence", "at", "kind", "events", "key_id", "hash")
    list_filter = ("kind", "at")
    paginator = BoundedPaginator
    search_fields = ("sequence", "hash")
    search_help_text = "A number or a whole hash."

    def get_search_results(
        self, _request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Match whole values only."""
        if not search_term:
            return queryset, False
        wanted = Q(hash=search_term)
        if search_term.isdecimal() and len(search_term) <= _SEQUENCE_DIGITS:
            wanted |= Q(pk=int(search_term))
        return queryset.filter(wanted), False


@admin.register(WithdrawnState)
class WithdrawnStateAdmin(RecordAdmin):
    """What is left of what erased users' events said: hashes."""

    list_display = ("event_id", "batch")
    paginator = BoundedPaginator


@admin.register(UnsealedChange)
class UnsealedChangeAdmin(RecordAdmin):
    """Changes that wait for the next batch; a refused one was changed before it was sealed."""

    list_display = ("event_id", "key_id", "is_refused")
    list_filter = ("is_refused",)
    paginator = BoundedPaginator
