from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib import admin, messages
from django.db.models import Q

from gateway_core.admin import ReadOnlyAdmin, confirmation, found_exactly
from llm_proxy.agent_proxy.models import AgentSecret
from llm_proxy.agent_proxy.services import revoke_agent_secret

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from accounts.models import User


@admin.register(AgentSecret)
class AgentSecretAdmin(ReadOnlyAdmin):
    """Whose agents call models, and how often their secret was replaced. No page shows one.

    A version that has been must not come back: without its row a user would be at the first again.
    """

    list_display = ("user", "version", "changed_at")
    list_select_related = ("user",)
    search_fields = ("user__email",)
    search_help_text = "The whole e-mail address or id of the user."
    actions = ("revoke",)
    fields = readonly_fields = ("user", "version", "changed_at")

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[AgentSecret], search_term: str
    ) -> tuple[QuerySet[AgentSecret], bool]:
        """Exact matches only, each by an index."""
        return found_exactly(queryset, search_term, by_id=lambda wanted: Q(pk=wanted)), False

    @admin.action(permissions=["revoke"], description="Replace selected agent secrets")
    def revoke(self, request: HttpRequest, queryset: QuerySet[AgentSecret]) -> HttpResponse | None:
        """Make secrets worthless, after a confirmation page; the agents get others."""
        secrets = queryset.select_related("user")
        if not request.POST.get("post"):
            return self._ask(request, secrets)
        for secret in secrets:
            revoke_agent_secret(user_id=secret.pk, by=cast("User", request.user))
            self.log_change(request, secret, "Action: replace")
        self.message_user(request, f"{len(secrets)} replaced.", messages.SUCCESS)
        return None

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Say whether the action is offered."""
        return request.user.has_perm("llm_proxy.revoke_agentsecret")

    def _ask(self, request: HttpRequest, secrets: QuerySet[AgentSecret]) -> HttpResponse:
        return confirmation(
            self,
            request,
            secrets,
            template="admin/llm_proxy/agentsecret/confirm_revoke.html",
            title="Replace agent secrets",
        )
