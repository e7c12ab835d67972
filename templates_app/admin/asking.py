from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages

from gateway_core.admin import ReadOnlyAdmin, confirmation
from gateway_core.errors import GatewayError
from templates_app.permissions import CHANGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from accounts.models import User


class AskingAdmin(ReadOnlyAdmin):
    """Pages to look at, and actions that ask before they do anything."""

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
            return confirmation(
                self,
                request,
                rows,
                template="admin/templates_app/confirm_action.html",
                title="Are you sure?",
                consequence=consequence,
            )
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


def staff_of(request: HttpRequest) -> User:
    """Return whoever is signed in."""
    return cast("User", request.user)
