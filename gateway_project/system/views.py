"""``/api/v1/system``: for load balancers, for people, and for staff."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import SupabaseAuthentication
from accounts.staff import Staff
from gateway_core.intake import valid
from gateway_project.server import stopping
from gateway_project.system import circuits
from gateway_project.system.probes import PROBES
from gateway_project.system.readiness import Readiness, Status
from gateway_project.system.serializers import (
    BreakerActionSerializer,
    CircuitSerializer,
    ExaminedUpstreamSerializer,
    HealthSerializer,
    InfoSerializer,
    ReadinessSerializer,
)
from gateway_project.system.upstreams import described, examined

if TYPE_CHECKING:
    from rest_framework.request import Request

    from accounts.models import User

_STARTED: Final = time.monotonic()
_TAGS: Final = ["system"]
_NOT_STORED: Final = {"cache-control": "no-store"}

readiness = Readiness(
    PROBES, ttl=lambda: settings.CACHE_TTL_HEALTH, is_stopping=stopping.is_stopping
)


class _OpenView(APIView):
    """Anybody may ask."""

    authentication_classes = ()
    permission_classes = [AllowAny]


class HealthView(_OpenView):
    """For whoever restarts processes that hang: not limited."""

    throttle_classes = ()

    @extend_schema(summary="Is the process alive", tags=_TAGS, responses=HealthSerializer)
    def get(self, _request: Request) -> Response:
        """Asks nothing else: a restart would not bring a database back."""
        return _answer({"status": Status.OK, "version": settings.VERSION})


class ReadyView(_OpenView):
    """For load balancers, which ask each replica from the same few addresses: not limited."""

    throttle_classes = ()

    @extend_schema(
        summary="Can this replica serve",
        tags=_TAGS,
        responses={200: ReadinessSerializer, 503: ReadinessSerializer},
    )
    def get(self, _request: Request) -> Response:
        """503 when the database or all signing keys are missing, or Letta tells users not apart.

        And as soon as the process is being stopped: it serves on for a few seconds. And when it has
        been short of memory for a minute.

        An upstream that is away shows as degraded, with 200: one upstream's outage must not take
        every replica out of service. Answers may be some seconds old.
        """
        report = readiness.report()
        status = HTTPStatus.SERVICE_UNAVAILABLE if report.status is Status.FAILED else HTTPStatus.OK
        return _answer(ReadinessSerializer(report).data, status)


class InfoView(_OpenView):
    """For people and clients."""

    @extend_schema(summary="What is this", tags=_TAGS, responses=InfoSerializer)
    def get(self, _request: Request) -> Response:
        """Version, environment, upstreams, and what is switched on."""
        return _answer(
            {
                "name": "AI Agent Gateway",
                "version": settings.VERSION,
                "environment": settings.ENVIRONMENT,
                "uptime_seconds": int(time.monotonic() - _STARTED),
                "upstreams": described(),
                "enabled": {
                    "docs": settings.ENABLE_DOCS,
                    "metrics": settings.ENABLE_METRICS,
                    "anonymous_users": settings.ALLOW_ANONYMOUS_USERS,
                    "oauth_clients": settings.ALLOW_OAUTH_CLIENTS,
                },
            }
        )


class UpstreamsView(APIView):
    """For staff: with a token, or signed in to the admin."""

    authentication_classes = [SupabaseAuthentication, SessionAuthentication]
    permission_classes = [Staff]

    @extend_schema(
        summary="What stands behind the gateway",
        tags=_TAGS,
        responses=ExaminedUpstreamSerializer(many=True),
    )
    def get(self, _request: Request) -> Response:
        """Addresses, limits, and what the last probes found. For staff only."""
        upstreams: Any = examined(readiness.report())
        return _answer(ExaminedUpstreamSerializer(upstreams, many=True).data)


class BreakerView(APIView):
    """For staff, with a token or signed in to the admin; superusers alone change something."""

    authentication_classes = [SupabaseAuthentication, SessionAuthentication]
    permission_classes = [Staff]

    @extend_schema(summary="Show a circuit breaker", tags=_TAGS, responses=CircuitSerializer)
    def get(self, _request: Request, name: str) -> Response:
        """Its state, which all processes share, and what this process has counted."""
        return _answer(CircuitSerializer(circuits.circuit(name)).data)

    @extend_schema(
        summary="Trip or reset a circuit breaker",
        tags=_TAGS,
        request=BreakerActionSerializer,
        responses=CircuitSerializer,
    )
    def post(self, request: Request, name: str) -> Response:
        """Tripped, it stays open until it is reset. In force in every process within a second.

        For superusers only.
        """
        asked = valid(BreakerActionSerializer(data=request.data))
        by = cast("User", request.user)
        if asked["action"] == "trip":
            report = circuits.trip(name=name, reason=asked["reason"], by=by)
        else:
            report = circuits.reset(name=name, by=by)
        return _answer(CircuitSerializer(report).data)


def _answer(data: Any, status: int = HTTPStatus.OK) -> Response:
    return Response(data, status=status, headers=_NOT_STORED)
