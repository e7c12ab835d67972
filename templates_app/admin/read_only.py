from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.template.response import TemplateResponse

from gateway_core.errors import GatewayError
from templates_app.permissions import CHANGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from accounts.models import User

    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin  # at run time not generic


class ReadOnlyAdmin(Base):
    """Pages to look at, and actions that ask before they do anything."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody: an action deletes what nothing was made from."""
        return False

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Say whether the actions are offered."""
        return request.user.has_perm(CHANGE)

    def carry_out(
        self,
        request: HttpRequest,
        rows: QuerySet[Any],
        *,
        consequence: str,
        change: Callable[[Any], object],
    ) -> HttpResponse | None:
        """Change each row, after a confirmation page that says what will happen."""
        if not request.POST.get("post"):
            return self._ask(request, rows, consequence)
        changed = 0
        for row in rows:
            try:
                change(row)
            except GatewayError as exc:
                self.message_user(request, f"{row.full_name}: {exc.detail}", messages.ERROR)
            else:
                self.log_change(request, row, f"Action: {request.POST['action']}")
                changed += 1
        self.message_user(request, f"{changed} changed.", messages.SUCCESS)
        return None

    def _ask(self, request: HttpRequest, rows: QuerySet[Any], consequence: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Are you sure?",
            "consequence": consequence,
            "action": request.POST["action"],
            "rows": rows,
            "opts": self.opts,
            "media": self.media,
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/templates_app/confirm_action.html", context)


def staff_of(request: HttpRequest) -> User:
    """Return whoever is signed in."""
    return cast("User", request.user)
