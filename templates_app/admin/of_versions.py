from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast
from uuid import UUID

import orjson
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.html import format_html

from gateway_core.intake import takes_up_to
from templates_app import services
from templates_app.admin.asking import AskingAdmin, staff_of
from templates_app.forms import PublishForm
from templates_app.models import TemplateVersion
from templates_app.permissions import PUBLISH

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString


@admin.register(TemplateVersion)
class TemplateVersionAdmin(AskingAdmin):
    """What has been published, and a page to publish."""

    list_display = (
        *("full_name", "owner", "is_latest", "format", "deprecated_at", "created_at", "created_by"),
    )
    list_filter = ("is_latest", ("deprecated_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("template__owner", "created_by")
    ordering = ("-created_at", "-id")
    search_fields = ("checksum",)
    search_help_text = "The whole name or id of a template, or a checksum."
    fields: ClassVar[Any] = (
        *("template", "version", "is_latest", "deprecated_at", "created_at", "created_by"),
        *("checksum", "changelog", "format", "as_sent", "as_json"),
    )
    readonly_fields = fields
    actions = ("make_latest", "deprecate", "undeprecate")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TemplateVersion]:
        """Leave their content where it is until a page shows one."""
        rows: Any = super().get_queryset(request)
        return cast("QuerySet[TemplateVersion]", rows.without_content())

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[TemplateVersion], search_term: str
    ) -> tuple[QuerySet[TemplateVersion], bool]:
        """Exact matches only."""
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(template_id=UUID(term)), False
        except ValueError:
            return queryset.filter(Q(template__name=term) | Q(checksum=term)), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever may publish."""
        return request.user.has_perm(PUBLISH)

    @takes_up_to("MAX_TEMPLATE_BYTES")
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Publish a file.

        Raises:
            PermissionDenied: they may not.
        """
        del form_url
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PublishForm(request.POST or None, request.FILES or None)
        version = form.publish(by=staff_of(request)) if form.is_valid() else None
        if version is not None:
            self.log_addition(request, version, "Published.")
            self.message_user(request, f"Published: {version.full_name}.", messages.SUCCESS)
            return redirect("admin:templates_app_templateversion_change", version.pk)
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "title": "Publish an Agent File",
            "form": form,
            "opts": self.opts,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/templates_app/publish.html", context)

    @admin.display(description="version", ordering="template__name")
    def full_name(self, row: TemplateVersion) -> str:
        """Template and version."""
        return row.full_name

    @admin.display(description="owner")
    def owner(self, row: TemplateVersion) -> str:
        """Whose template it is."""
        return str(row.template.owner or "the product")

    @admin.display(description="as it was sent")
    def as_sent(self, row: TemplateVersion) -> SafeString:
        """The file."""
        return format_html("<pre>{}</pre>", row.raw)

    @admin.display(description="as JSON")
    def as_json(self, row: TemplateVersion) -> SafeString:
        """What agents are made from."""
        text = orjson.dumps(row.document, option=orjson.OPT_INDENT_2).decode()
        return format_html("<pre>{}</pre>", text)

    @admin.action(permissions=["manage"], description="Make selected versions the latest")
    def make_latest(
        self, request: HttpRequest, rows: QuerySet[TemplateVersion]
    ) -> HttpResponse | None:
        """Have agents made from them when no version is named."""
        return self.carry_out(
            request,
            rows,
            consequence="Agents will be made from these versions when no other is named.",
            change=lambda row: services.make_latest(**_named(request, row)),
        )

    @admin.action(permissions=["manage"], description="Deprecate selected versions")
    def deprecate(
        self, request: HttpRequest, rows: QuerySet[TemplateVersion]
    ) -> HttpResponse | None:
        """Have no more agents made from them."""
        return self.carry_out(
            request,
            rows,
            consequence="No more agents will be made from these versions. Was one the latest, the "
            "highest other release becomes it.",
            change=lambda row: services.deprecate_version(**_named(request, row)),
        )

    @admin.action(permissions=["manage"], description="Undeprecate selected versions")
    def undeprecate(
        self, request: HttpRequest, rows: QuerySet[TemplateVersion]
    ) -> HttpResponse | None:
        """Have agents made from them again."""
        return self.carry_out(
            request,
            rows,
            consequence="Agents will be made from these versions again.",
            change=lambda row: services.undeprecate_version(**_named(request, row)),
        )


def _named(request: HttpRequest, row: TemplateVersion) -> dict[str, Any]:
    return {"by": staff_of(request), "template_id": row.template_id, "version": row.version}
