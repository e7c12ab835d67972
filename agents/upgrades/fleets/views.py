"""``/api/v1/templates/{id}/migrations``, for staff who may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.sessions.sensitive import sensitive
from accounts.staff import StaffWithPermission
from agents.requests import caller_of
from agents.upgrades.fleets import services
from agents.upgrades.fleets.serializers import (
    FleetAgentSerializer,
    FleetJobSerializer,
    FleetSerializer,
    ReportFilterSerializer,
    fleet_wish_of,
)
from gateway_core.intake import valid
from gateway_core.jobs.models import Job
from gateway_core.pages import KeysetPagination

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet
    from rest_framework.request import Request

_TAGS: Final = ["migrations of fleets"]


class MayMigrateAgents(StaffWithPermission):
    """Staff with the permission, whatever they may do in the admin."""

    permission = "agents.migrate_agents"


class _ReportPagination(KeysetPagination):
    columns: ClassVar[tuple[str, ...]] = ("position",)


@sensitive("create", "resume")
@extend_schema(tags=_TAGS)
class FleetViewSet(mixins.ListModelMixin, GenericViewSet[Job]):
    """All agents of a template, brought to a version."""

    queryset = Job.objects.none()
    serializer_class = FleetJobSerializer
    pagination_class = KeysetPagination
    permission_classes = (MayMigrateAgents,)
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[Job]:
        """Return the migrations of the template."""
        if getattr(self, "swagger_fake_view", False):
            return Job.objects.none()
        return services.fleet_jobs(self.kwargs["template_id"])

    @extend_schema(summary="List migrations of a template's agents")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page, the newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="Migrate a template's agents",
        request=FleetSerializer,
        responses={202: FleetJobSerializer},
    )
    def create(self, request: Request, template_id: UUID) -> Response:
        """Begin in the background; without `dry_run: false` only find out what would be done."""
        wish = fleet_wish_of(valid(FleetSerializer(data=request.data)))
        job = services.ask_for_fleet(template_id=template_id, by=caller_of(request), wish=wish)
        where = reverse("fleet-migration-detail", args=[template_id, job.pk])
        return Response(
            FleetJobSerializer(job).data,
            status=status.HTTP_202_ACCEPTED,
            headers={"Location": where},
        )

    @extend_schema(summary="Say how far a migration is")
    def retrieve(self, request: Request, template_id: UUID, pk: UUID) -> Response:
        """Return counts by result."""
        del request
        return self._told(services.fleet_job(template_id=template_id, job_id=pk))

    @extend_schema(summary="Pause a migration", request=None, responses=FleetJobSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, template_id: UUID, pk: UUID) -> Response:
        """Begin no more agents."""
        return self._steered(request, template_id, pk, "pause")

    @extend_schema(summary="Resume a migration", request=None, responses=FleetJobSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, template_id: UUID, pk: UUID) -> Response:
        """Go on with the agents that are left."""
        return self._steered(request, template_id, pk, "resume")

    @extend_schema(summary="Cancel a migration", request=None, responses=FleetJobSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, template_id: UUID, pk: UUID) -> Response:
        """End it; what is done stays done."""
        return self._steered(request, template_id, pk, "cancel")

    @extend_schema(
        summary="Report what became of each agent",
        parameters=[ReportFilterSerializer],
        responses=FleetAgentSerializer(many=True),
    )
    @action(detail=True, methods=["get"], pagination_class=_ReportPagination)
    def agents(self, request: Request, template_id: UUID, pk: UUID) -> Response:
        """Return a page of agents, the last one first; `?result=failed` only of those."""
        rows: Any = services.report(services.fleet_job(template_id=template_id, job_id=pk))
        rows = rows.filter(**valid(ReportFilterSerializer(data=request.query_params)))
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(FleetAgentSerializer(page, many=True).data)

    def _steered(self, request: Request, template_id: UUID, job_id: UUID, verb: str) -> Response:
        job = services.fleet_job(template_id=template_id, job_id=job_id)
        return self._told(services.steer(job=job, verb=verb, by=caller_of(request)))

    def _told(self, job: Job) -> Response:
        return Response(FleetJobSerializer(job).data)
