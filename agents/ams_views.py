"""``/api/v1/ams``: the calls of the first AMS, for clients that were written for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.sessions.sensitive import sensitive
from agents import services
from agents.models import Agent
from agents.requests import caller_of
from agents.serializers import AgentCreateSerializer, LettaMadeAgentSerializer
from agents.views import create_from, made_compatibly
from gateway_core.intake import raw_body, takes_up_to

if TYPE_CHECKING:
    from rest_framework.request import Request

_TAGS: Final = ["agent management, older calls"]
_MOST_AGENTS: Final = 100


@extend_schema(tags=_TAGS, deprecated=True, responses=OpenApiTypes.OBJECT)
class AmsView(APIView):
    """Answers as the first AMS did."""


class HealthView(AmsView):
    """Whether agents can be managed."""

    @extend_schema(operation_id="ams_health", summary="Health of agent management")
    def get(self, _request: Request) -> Response:
        """Return `{status, checks}` of whoever manages agents."""
        return Response(services.manager().health())


@extend_schema(request={"application/yaml": OpenApiTypes.OBJECT})
class ValidateView(AmsView):
    """Looking at Agent Files."""

    @extend_schema(operation_id="ams_validate", summary="Say what is wrong with an Agent File")
    @takes_up_to("MAX_TEMPLATE_BYTES")
    def post(self, request: Request) -> Response:
        """Return `{format, validation}`."""
        content, media_type = raw_body(request, settings.MAX_TEMPLATE_BYTES)
        return Response(
            services.manager().validate(
                user=caller_of(request), content=content, media_type=media_type
            )
        )


@sensitive("post")
@extend_schema(request={"application/yaml": OpenApiTypes.OBJECT})
class PublishView(AmsView):
    """Publishing Agent Files."""

    @extend_schema(operation_id="ams_publish", summary="Publish an Agent File")
    @takes_up_to("MAX_TEMPLATE_BYTES")
    def post(self, request: Request) -> Response:
        """Return `{template_id, version, checksum, is_latest}`."""
        content, media_type = raw_body(request, settings.MAX_TEMPLATE_BYTES)
        published = services.manager().publish(
            user=caller_of(request), content=content, media_type=media_type
        )
        return Response(published, status=status.HTTP_201_CREATED)


class CreateView(AmsView):
    """Making agents."""

    @extend_schema(
        operation_id="ams_create_agent",
        summary="Make an agent",
        request=AgentCreateSerializer,
        responses={201: LettaMadeAgentSerializer},
    )
    def post(self, request: Request) -> Response:
        """Return `{agent, template_checksum}`, the agent in Letta's words."""
        return made_compatibly(create_from(request))


class MeView(AmsView):
    """The caller and their agents."""

    @extend_schema(operation_id="ams_me", summary="Who am I, and which agents have I")
    def get(self, request: Request) -> Response:
        """Return the profile of older clients. The model key in it is always null: it is secret."""
        user = caller_of(request)
        agents = list(Agent.objects.for_user(user).for_pages().exclude(agent_id="")[:_MOST_AGENTS])
        newest = agents[0] if agents else None
        return Response(
            {
                "id": str(user.pk),
                "email": user.email,
                "name": getattr(user, "name", ""),
                "litellm_key": None,
                "letta_agent_id": newest.agent_id if newest else None,
                "agent_status": newest.status if newest else None,
                "created_at": user.created_at,
                "updated_at": newest.updated_at if newest else user.created_at,
                "profile_exists": True,
                "agents": [_told(agent) for agent in agents],
            }
        )


def _told(agent: Agent) -> dict[str, Any]:
    return {
        "agent_id": agent.agent_id,
        "template_id": agent.template_id or None,
        "version": agent.version or None,
        "created_at": agent.created_at,
        "updated_at": agent.updated_at,
    }
