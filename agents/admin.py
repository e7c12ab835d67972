from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib import admin, messages
from django.db.models import Q

from agents import services
from agents.models import LIVING, Agent
from agents.upgrades import admin as upgrades
from gateway_core.admin import ReadOnlyAdmin, confirmation, found_exactly
from gateway_core.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from accounts.models import User


__all__ = ("AgentAdmin", "upgrades")


@admin.register(Agent)
class AgentAdmin(ReadOnlyAdmin):
    """Whose agents there are. Users make, change and delete them; staff can suspend them.

    Letta would not hear of a change here, and would keep an agent that is deleted here.
    """

    list_display = ("__str__", "user", "status", "origin", "template_id", "version", "created_at")
    list_filter = ("status", "suspended_by", "origin", "created_at")
    list_select_related = ("user",)
    search_fields = ("agent_id",)
    search_help_text = (
        "The whole id of the agent, its template, its user or its row, or the user's e-mail."
    )
    actions = ("suspend", "resume")
    fields = (
        *("id", "agent_id", "user", "name", "description", "tags", "metadata"),
        *("status", "status_at", "suspended_by", "last_error", "origin"),
        *("template_id", "version", "checksum", "variables", "secret_names"),
        *("model", "embedding", "revision", "created_at", "updated_at"),
    )
    readonly_fields = fields

    def has_suspend_permission(self, request: HttpRequest) -> bool:
        """Say whether the suspend and resume actions are offered."""
        return request.user.has_perm("agents.suspend_agent")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        """Leave out what makes rows large."""
        return super().get_queryset(request).defer("built_from")

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[Agent], search_term: str
    ) -> tuple[QuerySet[Agent], bool]:
        """Exact matches only, each by an index."""

        def by_id(wanted: UUID) -> Q:
            by_template = Q(template_version__template_id=wanted)
            return Q(pk=wanted) | Q(user_id=wanted) | by_template

        found = found_exactly(
            queryset, search_term, by_id=by_id, by_text=lambda term: Q(agent_id=term)
        )
        return found, False

    @admin.action(permissions=["suspend"], description="Suspend selected agents")
    def suspend(self, request: HttpRequest, queryset: QuerySet[Agent]) -> HttpResponse | None:
        """Keep all requests from agents, after a confirmation page."""
        return self._confirmed(request, queryset, "suspend", services.suspend_agent)

    @admin.action(permissions=["suspend"], description="Resume selected agents")
    def resume(self, request: HttpRequest, queryset: QuerySet[Agent]) -> HttpResponse | None:
        """Let requests through again, after a confirmation page."""
        return self._confirmed(request, queryset, "resume", services.resume_agent)

    def _confirmed(
        self,
        request: HttpRequest,
        queryset: QuerySet[Agent],
        action: str,
        change: Callable[..., Agent],
    ) -> HttpResponse | None:
        agents = queryset.filter(status__in=LIVING)
        if not request.POST.get("post"):
            return self._ask(request, agents.select_related("user"), action)
        changed = 0
        for agent in agents:
            try:
                after = change(agent=agent, by=cast("User", request.user))
            except GatewayError as error:
                self.message_user(request, f"{agent}: {error.detail}", messages.ERROR)
                continue
            if after.revision != agent.revision:
                self.log_change(request, agent, f"Action: {action}")
                changed += 1
        self.message_user(request, f"{changed} of {queryset.count()} changed.", messages.SUCCESS)
        return None

    def _ask(self, request: HttpRequest, agents: QuerySet[Agent], action: str) -> HttpResponse:
        return confirmation(
            self,
            request,
            agents,
            template="admin/agents/agent/confirm_action.html",
            title=f"{action.capitalize()} agents",
        )
