from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib import admin, messages
from django.db.models import Q
from django.utils import timezone
from django.utils.formats import localize

from gateway_core.admin import ReadOnlyAdmin, confirmation, found_exactly
from llm_proxy.api_keys import services
from llm_proxy.api_keys.models import ApiKey, State

if TYPE_CHECKING:
    from typing import Any

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from accounts.models import User


class StateFilter(admin.SimpleListFilter):
    """By what has become of a key."""

    title = parameter_name = "state"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, str]]:
        """Return the states."""
        return [(state.value, state.value) for state in State]

    def queryset(self, _request: HttpRequest, queryset: Any) -> Any:
        """Apply the choice."""
        value = self.value()
        if not value or value not in State.values:
            return queryset
        return queryset.in_state(State(value), at=timezone.now())


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Whose keys there are. Users make and change them; staff can only end them.

    Only its user may know a key's secret; revoked it stays, so that its usage can be told.
    """

    list_display = ("name", "hint", "user", "state", "scopes", "budget", "expires_at", "created_at")
    list_filter = (StateFilter, "created_at")
    list_select_related = ("user",)
    search_fields = ("user__email",)
    search_help_text = "The whole e-mail address or id of the user, or the key's id."
    actions = ("revoke",)
    fields = (
        *("id", "user", "name", "hint", "state", "scopes", "allowed_models", "budget"),
        *("budget_period", "virtual_key", "expires_at", "created_at", "last_used_at"),
        *("rotated_at", "previous_valid_until", "revoked_at"),
    )
    readonly_fields = fields

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        """Exact matches only, each by an index."""
        found = found_exactly(
            queryset, search_term, by_id=lambda wanted: Q(pk=wanted) | Q(user_id=wanted)
        )
        return found, False

    @admin.display(description="state")
    def state(self, obj: ApiKey) -> str:
        """What has become of it by now."""
        return obj.state(timezone.now()).value

    @admin.display(description="last used")
    def last_used_at(self, obj: ApiKey) -> str:
        """When its latest model call or agent turn began."""
        found: Any = ApiKey.objects.with_last_use().get(pk=obj.pk)
        return str(localize(found.last_used_at or "-"))

    @admin.action(permissions=["revoke"], description="Revoke selected API keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """End keys for good, after a confirmation page."""
        keys = queryset.filter(revoked_at=None).select_related("user")
        if not request.POST.get("post"):
            return self._ask(request, keys)
        staff = cast("User", request.user)
        revoked = [key for key in keys if services.revoke_api_key(key_id=key.pk, by=staff)]
        for key in revoked:
            self.log_change(request, key, "Action: revoke")
        self.message_user(
            request, f"{len(revoked)} of {queryset.count()} revoked.", messages.SUCCESS
        )
        return None

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Say whether the action is offered."""
        return request.user.has_perm("llm_proxy.revoke_apikey")

    def _ask(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> HttpResponse:
        return confirmation(
            self,
            request,
            keys,
            template="admin/llm_proxy/apikey/confirm_revoke.html",
            title="Revoke API keys",
        )
