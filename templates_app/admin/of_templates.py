from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django.contrib import admin
from django.db.models import Q

from templates_app import services
from templates_app.admin.asking import AskingAdmin, staff_of
from templates_app.models import Template, TemplateVersion
from templates_app.permissions import DELETE

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    Inline = admin.TabularInline[TemplateVersion, Template]
else:
    Inline = admin.TabularInline  # at run time not generic


class VersionInline(Inline):
    """The versions on a template's page."""

    model = TemplateVersion
    fields = ("version", "format", "is_latest", "deprecated_at", "created_at", "checksum")
    readonly_fields = fields
    show_change_link = True
    can_delete = False
    max_num = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[TemplateVersion]:
        """Leave their content where it is."""
        rows: Any = super().get_queryset(request)
        return cast("QuerySet[TemplateVersion]", rows.without_content())


@admin.register(Template)
class TemplateAdmin(AskingAdmin):
    """Whose templates there are. They are made by publishing a version."""

    list_display = (
        *("name", "owner", "visibility", "latest_version", "deprecated_at", "created_at"),
    )
    list_filter = ("visibility", ("deprecated_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("owner",)
    search_fields = ("name",)
    search_help_text = "A whole name or id, or the owner's e-mail address or id."
    fields = (
        *("id", "name", "owner", "visibility", "description", "tags", "labels"),
        *("created_at", "updated_at", "deprecated_at"),
    )
    readonly_fields = fields
    inlines = (VersionInline,)
    actions = ("deprecate", "undeprecate", "delete")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Template]:
        """With the latest version of each."""
        rows: Any = super().get_queryset(request)
        return cast("QuerySet[Template]", rows.with_latest_version())

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Template], search_term: str
    ) -> tuple[QuerySet[Template], bool]:
        """Exact matches only."""
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        if "@" in term:
            return queryset.filter(owner__email__in={term, term.lower()}), False
        try:
            return queryset.filter(Q(pk=UUID(term)) | Q(owner_id=UUID(term))), False
        except ValueError:
            return queryset.filter(name=term), False

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """Say whether deletion is offered."""
        return request.user.has_perm(DELETE)

    @admin.display(description="latest version")
    def latest_version(self, template: Any) -> str:
        """The version that agents are made from when none is named."""
        return template.latest_version or "none"

    @admin.action(permissions=["manage"], description="Deprecate selected templates")
    def deprecate(self, request: HttpRequest, rows: QuerySet[Template]) -> HttpResponse | None:
        """Have no more agents made from them."""
        return self.carry_out(
            request,
            rows,
            consequence="No more agents will be made from these templates. Those that are there "
            "stay as they are.",
            change=lambda row: services.deprecate_template(
                by=staff_of(request), template_id=row.pk
            ),
        )

    @admin.action(permissions=["manage"], description="Undeprecate selected templates")
    def undeprecate(self, request: HttpRequest, rows: QuerySet[Template]) -> HttpResponse | None:
        """Have agents made from them again."""
        return self.carry_out(
            request,
            rows,
            consequence="Agents will be made from these templates again.",
            change=lambda row: services.undeprecate_template(
                by=staff_of(request), template_id=row.pk
            ),
        )

    @admin.action(permissions=["remove"], description="Delete selected templates")
    def delete(self, request: HttpRequest, rows: QuerySet[Template]) -> HttpResponse | None:
        """Delete them; deprecate those that are in use."""
        return self.carry_out(
            request,
            rows,
            consequence="These templates and all their versions will be gone for good. Those that "
            "agents were made from will be deprecated instead.",
            change=lambda row: services.delete_template(by=staff_of(request), template_id=row.pk),
        )
