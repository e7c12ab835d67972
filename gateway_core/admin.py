"""What the admin's pages share: rows to look at, exact searches, a question before an action."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model
from django.template.response import TemplateResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Q, QuerySet
    from django.http import HttpRequest

    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin  # at run time not generic

ModelT = TypeVar("ModelT", bound=Model)


class ReadOnlyAdmin(Base):
    """Pages on which nothing can be made, changed or deleted, of tables too large to count."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody adds one by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody changes one by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody deletes one by hand."""
        return False


def found_exactly(
    queryset: QuerySet[ModelT],
    search_term: str,
    *,
    by_id: Callable[[UUID], Q],
    by_text: Callable[[str], Q] | None = None,
) -> QuerySet[ModelT]:
    """Return the rows of a user's whole e-mail address, or of a whole id; each by an index.

    Args:
        by_id: returns the filter for a UUID.
        by_text: that for anything else; without it nothing is found.
    """
    term = search_term.strip()
    if not term:
        return queryset
    if "@" in term:
        return queryset.filter(user__email__in={term, term.lower()})
    try:
        wanted = UUID(term)
    except ValueError:
        return queryset.filter(by_text(term)) if by_text else queryset.none()
    return queryset.filter(by_id(wanted))


def confirmation(
    page: admin.ModelAdmin[Any],
    request: HttpRequest,
    rows: QuerySet[Any],
    *,
    template: str,
    title: str,
    **more: Any,
) -> TemplateResponse:
    """Return the page that asks before an action is done to these rows.

    Args:
        template: extends ``admin/confirm_action.html``.
        more: what else it needs.
    """
    context = {
        **page.admin_site.each_context(request),
        "title": title,
        "action": request.POST["action"],
        "rows": rows,
        "opts": page.opts,
        "media": page.media,
        "checkbox_name": ACTION_CHECKBOX_NAME,
        **more,
    }
    return TemplateResponse(request, template, context)
