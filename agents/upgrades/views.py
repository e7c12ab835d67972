"""``/api/v1/agents/{id}/upgrade`` and ``/migrations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.response import Response

from agents.requests import caller_of, revision_wanted
from agents.serializers import AgentSerializer
from agents.upgrades import services
from agents.upgrades.models import Migration
from agents.upgrades.serializers import (
    MigrationDetailSerializer,
    MigrationSerializer,
    RollbackSerializer,
    UpgradedSerializer,
    UpgradeSerializer,
    strategy_of,
    wish_of,
)
from gateway_core.errors import ResourceNotFound
from gateway_core.intake import valid

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request

    from agents.models import Agent

_IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The agent's ETag."
)


class UpgradeActions:
    """What the viewset of agents does about versions."""

    if TYPE_CHECKING:

        def _own(self, agent_id: str) -> Agent: ...

        paginate_queryset: Any
        get_paginated_response: Any

    @extend_schema(
        summary="Upgrade an agent",
        parameters=[_IF_MATCH],
        request=UpgradeSerializer,
        responses=UpgradedSerializer,
    )
    @action(detail=True, methods=["post"])
    def upgrade(self, request: Request, pk: str) -> Response:
        """Say what an upgrade would do; with `dry_run: false` do it."""
        return self._upgraded(request, pk)

    @extend_schema(
        operation_id="ams_upgrade_agent",
        tags=["agent management, older calls"],
        summary="Upgrade an agent",
        parameters=[_IF_MATCH],
        request=UpgradeSerializer,
        responses=UpgradedSerializer,
        deprecated=True,
    )
    def upgrade_compatibly(self, request: Request, pk: str) -> Response:
        """Do as `/api/v1/agents/{id}/upgrade` does."""
        return self._upgraded(request, pk)

    def _upgraded(self, request: Request, pk: str) -> Response:
        agent = self._own(pk)
        values = valid(UpgradeSerializer(data=request.data))
        wish, revision = wish_of(values), revision_wanted(request, agent)
        if values["dry_run"]:
            plan = services.plan_upgrade(agent=agent, wish=wish)
            answer = {"dry_run": True, "applied": False, **plan}
            return Response(answer, headers={"ETag": agent.etag})
        return _done(
            services.upgrade_agent(agent=agent, by=caller_of(request), wish=wish, revision=revision)
        )

    @extend_schema(
        summary="List what an agent went through", responses=MigrationSerializer(many=True)
    )
    @action(detail=True, methods=["get"], filter_backends=[])
    def migrations(self, request: Request, pk: str) -> Response:
        """Return a page of upgrades and rollbacks, the newest first."""
        del request
        rows = Migration.objects.for_pages().filter(agent=self._own(pk)).defer("encrypted")
        page = self.paginate_queryset(rows)
        answer: Response = self.get_paginated_response(MigrationSerializer(page, many=True).data)
        return answer

    @extend_schema(summary="Describe a migration", responses=MigrationDetailSerializer)
    @action(detail=True, methods=["get"], url_path="migrations/<uuid:migration_id>")
    def migration(self, request: Request, pk: str, migration_id: UUID) -> Response:
        """Return a migration with the values that it changed."""
        del request
        return Response(MigrationDetailSerializer(self._migration(pk, migration_id)).data)

    @extend_schema(
        summary="Roll an upgrade back",
        parameters=[_IF_MATCH],
        request=RollbackSerializer,
        responses=UpgradedSerializer,
    )
    @action(detail=True, methods=["post"], url_path="migrations/<uuid:migration_id>/rollback")
    def rollback(self, request: Request, pk: str, migration_id: UUID) -> Response:
        """Undo the last upgrade; what the agent learned elsewhere since stays."""
        migration = self._migration(pk, migration_id)
        values = valid(RollbackSerializer(data=request.data))
        return _done(
            services.roll_back(
                migration=migration,
                by=caller_of(request),
                strategy=strategy_of(values) if values else None,
                revision=revision_wanted(request, migration.agent),
            )
        )

    def _migration(self, agent_id: str, migration_id: UUID) -> Migration:
        rows = Migration.objects.for_pages().select_related("agent")
        migration = rows.filter(agent=self._own(agent_id), pk=migration_id).first()
        if migration is None:
            raise ResourceNotFound
        return migration


def _done(migration: Migration) -> Response:
    agent = migration.agent
    answer = {
        "dry_run": False,
        "applied": True,
        "new_version": migration.to_version,
        "plan": migration.plan,
        "warnings": migration.warnings,
        "migration": MigrationSerializer(migration).data,
        "agent": AgentSerializer(agent).data,
    }
    return Response(answer, headers={"ETag": agent.etag})
