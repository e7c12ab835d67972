"""``/api/v1/agents``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.urls import reverse
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.sessions.sensitive import sensitive
from agents import services
from agents.models import Agent
from agents.requests import caller_of, large_json, revision_wanted, traits_of
from agents.serializers import (
    AgentChangesSerializer,
    AgentCloneSerializer,
    AgentCreateSerializer,
    AgentFileSerializer,
    AgentFilterSerializer,
    AgentImportSerializer,
    AgentSerializer,
    DeleteOptionsSerializer,
    ExportOptionsSerializer,
    LettaMadeAgentSerializer,
    MadeAgentSerializer,
)
from agents.upgrades.views import UpgradeActions
from gateway_core.errors import ResourceNotFound
from gateway_core.intake import takes_up_to, valid
from gateway_core.pages import KeysetPagination

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpResponseBase
    from rest_framework.request import Request

# "agents" is where agents call their models.
_TAGS: Final = ["agent management"]
_IF_MATCH: Final = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The ETag that the change is for."
)


@sensitive("destroy")
@extend_schema(tags=_TAGS)
class AgentViewSet(UpgradeActions, mixins.ListModelMixin, GenericViewSet[Agent]):
    """One's own agents, however they were made."""

    queryset = Agent.objects.none()
    serializer_class = AgentSerializer
    pagination_class = KeysetPagination

    def get_queryset(self) -> QuerySet[Agent]:
        """Return the caller's agents; those of others do not exist."""
        return Agent.objects.for_user(caller_of(self.request)).for_pages()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply the query of a list."""
        wish = valid(AgentFilterSerializer(data=self.request.query_params))
        for name, column in (("status", "status"), ("template_id", "template_id")):
            if name in wish:
                queryset = queryset.filter(**{column: wish[name]})
        if "tag" in wish:
            queryset = queryset.filter(tags__contains=[wish["tag"]])
        if "q" in wish:
            queryset = queryset.filter(pk__in=Agent.objects.searched(wish["q"]).values("pk"))
        return queryset

    @extend_schema(summary="List your agents", parameters=[AgentFilterSerializer])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page, the newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="Make an agent", request=AgentCreateSerializer, responses={201: MadeAgentSerializer}
    )
    def create(self, request: Request) -> Response:
        """Make an agent from a template."""
        return self._made(create_from(request))

    @extend_schema(
        summary="Make an agent (older clients)",
        request=AgentCreateSerializer,
        responses={201: LettaMadeAgentSerializer},
        deprecated=True,
    )
    @action(detail=False, methods=["post"], url_path="create", url_name="create-compatibly")
    def create_compatibly(self, request: Request) -> Response:
        """Make an agent from a template, and tell of it in Letta's words."""
        return made_compatibly(create_from(request))

    @extend_schema(summary="Describe an agent")
    def retrieve(self, request: Request, pk: str) -> HttpResponseBase:
        """Return what the gateway knows of it; its memory and messages are on /api/v1/letta."""
        agent = self._own(pk)
        answer = self._told(agent)
        return get_conditional_response(request, etag=agent.etag, response=answer) or answer

    @extend_schema(
        summary="Change an agent", parameters=[_IF_MATCH], request=AgentChangesSerializer
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change name, description, tags or metadata."""
        agent = self._own(pk)
        changes = valid(AgentChangesSerializer(data=request.data))
        revision = revision_wanted(request, agent)
        if not changes:
            return self._told(agent)
        return self._told(
            services.update_agent(
                agent=agent, by=caller_of(request), changes=changes, revision=revision
            )
        )

    @extend_schema(
        summary="Delete an agent",
        parameters=[_IF_MATCH, DeleteOptionsSerializer],
        responses={204: None},
    )
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete an agent with its messages and memory."""
        agent = self._own(pk)
        valid(DeleteOptionsSerializer(data=request.query_params))
        revision = revision_wanted(request, agent)
        services.delete_agent(agent=agent, by=caller_of(request), revision=revision)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Suspend an agent", parameters=[_IF_MATCH], request=None, responses=AgentSerializer
    )
    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, pk: str) -> Response:
        """Have everything for this agent answered with 423, and end what is under way.

        Its owner still looks after it here: describes, changes, copies or deletes it. What staff
        have suspended its owner sees, and nothing else.
        """
        return self._switched(request, pk, services.suspend_agent)

    @extend_schema(
        summary="Resume an agent", parameters=[_IF_MATCH], request=None, responses=AgentSerializer
    )
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Let requests through again."""
        return self._switched(request, pk, services.resume_agent)

    @extend_schema(
        summary="Clone an agent",
        parameters=[_IF_MATCH],
        request=AgentCloneSerializer,
        responses={201: MadeAgentSerializer},
    )
    @action(detail=True, methods=["post"])
    def clone(self, request: Request, pk: str) -> Response:
        """Make another agent like it."""
        source = self._own(pk)
        wish = valid(AgentCloneSerializer(data=request.data))
        revision_wanted(request, source)
        created = services.clone_agent(
            source=source,
            user=caller_of(request),
            traits=traits_of(wish),
            with_memory=wish["include_memory"],
            with_messages=wish["include_messages"],
        )
        return self._made(created)

    @extend_schema(
        summary="Export an agent",
        parameters=[ExportOptionsSerializer],
        responses=AgentFileSerializer,
    )
    @action(detail=True, methods=["get"])
    def export(self, request: Request, pk: str) -> Response:
        """Return everything that `import` takes: memory and messages, no secrets."""
        agent = self._own(pk)
        wish = valid(ExportOptionsSerializer(data=request.query_params))
        file = services.export_agent(
            agent=agent, by=caller_of(request), with_messages=wish["include_messages"]
        )
        headers = {"Content-Disposition": f'attachment; filename="{agent.agent_id}.json"'}
        return Response(file, headers=headers)

    @extend_schema(
        summary="Import an agent",
        request=AgentImportSerializer,
        responses={201: MadeAgentSerializer},
    )
    @action(detail=False, methods=["post"], url_path="import", pagination_class=None)
    @takes_up_to("MAX_AGENT_FILE_BYTES")
    def import_file(self, request: Request) -> Response:
        """Make an agent from what `export` has given."""
        body = large_json(request, settings.MAX_AGENT_FILE_BYTES)
        wish = valid(AgentImportSerializer(data=body))
        created = services.import_file(
            user=caller_of(request),
            file=wish["file"],
            traits=traits_of(wish),
            variables=wish.get("variables"),
        )
        return self._made(created)

    def _own(self, agent_id: str) -> Agent:
        agent = self.get_queryset().called(agent_id).first()  # type: ignore[attr-defined]
        if agent is None:
            raise ResourceNotFound
        return agent  # type: ignore[no-any-return]

    def _switched(self, request: Request, pk: str, switch: Callable[..., Agent]) -> Response:
        agent = self._own(pk)
        revision = revision_wanted(request, agent)
        return self._told(switch(agent=agent, by=caller_of(request), revision=revision))

    def _told(self, agent: Agent) -> Response:
        return Response(AgentSerializer(agent).data, headers={"ETag": agent.etag})

    def _made(self, created: services.Created) -> Response:
        agent = created.agent
        answer = {"agent": AgentSerializer(agent).data, "template_checksum": agent.checksum}
        headers = {
            "Location": reverse("agent-detail", args=[agent.agent_id]),
            "ETag": agent.etag,
        }
        return Response(answer, status=status.HTTP_201_CREATED, headers=headers)


def made_compatibly(created: services.Created) -> Response:
    """Return the answer of the first AMS to a creation."""
    answer = {"agent": created.document, "template_checksum": created.agent.checksum}
    headers = {"Location": reverse("agent-detail", args=[created.agent.agent_id])}
    return Response(answer, status=status.HTTP_201_CREATED, headers=headers)


def create_from(request: Request) -> services.Created:
    """Make the agent that a request asks for."""
    wish = valid(AgentCreateSerializer(data=request.data))
    return services.create_agent(
        user=caller_of(request),
        template_id=wish["template_id"],
        version=wish.get("version") or "latest",
        variables=wish.get("variables", {}),
        traits=traits_of(wish),
    )
