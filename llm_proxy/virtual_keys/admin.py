"""Virtual keys for staff: whose there are and in what state. No page shows a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib import admin, messages
from django.db.models import Q

from gateway_core.admin import ReadOnlyAdmin, confirmation, found_exactly
from gateway_core.errors import ResourceConflict
from llm_proxy.virtual_keys import services
from llm_proxy.virtual_keys.models import Installation, VirtualKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from accounts.models import User


@admin.register(VirtualKey)
class VirtualKeyAdmin(ReadOnlyAdmin):
    """Keys make themselves; staff switch them off and on, and put others in their place.

    LiteLLM would not hear of a change here, and would keep a key that is deleted here.
    """

    list_display = ("id", "user", "kind", "state", "created_at")
    list_filter = ("state", "kind", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__email",)
    search_help_text = "The whole e-mail address or id of the user, or the key's id or SHA-256."
    actions = ("block", "unblock", "replace")
    fields = ("id", "user", "kind", "state", "token_hash", "created_at", "updated_at")
    readonly_fields = fields

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[VirtualKey], search_term: str
    ) -> tuple[QuerySet[VirtualKey], bool]:
        """Exact matches only, each by an index."""
        found = found_exactly(
            queryset,
            search_term,
            by_id=lambda wanted: Q(pk=wanted) | Q(user_id=wanted),
            by_text=lambda term: Q(token_hash=term),
        )
        return found, False

    @admin.action(permissions=["block"], description="Block selected virtual keys")
    def block(self, request: HttpRequest, queryset: QuerySet[VirtualKey]) -> HttpResponse | None:
        """Switch keys off, after a confirmation page."""
        return self._confirmed(request, queryset, "block", services.block_virtual_key)

    @admin.action(permissions=["block"], description="Unblock selected virtual keys")
    def unblock(self, request: HttpRequest, queryset: QuerySet[VirtualKey]) -> HttpResponse | None:
        """Switch keys on again, after a confirmation page."""
        return self._confirmed(request, queryset, "unblock", services.unblock_virtual_key)

    @admin.action(permissions=["replace"], description="Replace selected virtual keys")
    def replace(self, request: HttpRequest, queryset: QuerySet[VirtualKey]) -> HttpResponse | None:
        """Give keys another value, after a confirmation page."""
        return self._confirmed(request, queryset, "replace", services.replace_virtual_key)

    def has_block_permission(self, request: HttpRequest) -> bool:
        """Say whether blocking and unblocking are offered."""
        return request.user.has_perm("llm_proxy.block_virtualkey")

    def has_replace_permission(self, request: HttpRequest) -> bool:
        """Say whether replacing is offered."""
        return request.user.has_perm("llm_proxy.replace_virtualkey")

    def _confirmed(
        self,
        request: HttpRequest,
        queryset: QuerySet[VirtualKey],
        action: str,
        change: Callable[..., object],
    ) -> HttpResponse | None:
        keys = queryset.select_related("user")
        if not request.POST.get("post"):
            return self._ask(request, keys, action)
        changed = 0
        for key in keys:
            try:
                is_changed = change(virtual_key_id=key.pk, by=cast("User", request.user))
            except ResourceConflict as error:
                self.message_user(request, f"{key}: {error.detail}", messages.WARNING)
                continue
            if is_changed:
                self.log_change(request, key, f"Action: {action}")
                changed += 1
        self.message_user(request, f"{changed} of {len(keys)} changed.", messages.SUCCESS)
        return None

    def _ask(self, request: HttpRequest, keys: QuerySet[VirtualKey], action: str) -> HttpResponse:
        return confirmation(
            self,
            request,
            keys,
            template="admin/llm_proxy/virtualkey/confirm_action.html",
            title=f"{action.capitalize()} virtual keys",
        )


@admin.register(Installation)
class InstallationAdmin(ReadOnlyAdmin):
    """By which id this gateway's users and keys are told from others' in LiteLLM.

    LiteLLM has it in the metadata of each user and key.
    """
