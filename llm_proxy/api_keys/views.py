from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.sessions.sensitive import sensitive
from gateway_core.intake import valid
from gateway_core.pages import KeysetPagination
from llm_proxy.api_keys import services
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.api_keys.serializers import (
    ApiKeySerializer,
    IssuedKeySerializer,
    RotationSerializer,
)
from llm_proxy.usage.budget import added_up
from llm_proxy.usage.models import UsageRecord
from llm_proxy.usage.serializers import UsageQuerySerializer, UsageSerializer
from llm_proxy.usage.views import answer

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

    from accounts.models import User
    from llm_proxy.api_keys.services import Issued, Traits


# Not to revoke a key: that must not wait for Supabase.
@sensitive("create", "partial_update", "rotate")
@extend_schema(tags=["keys"])
@extend_schema_view(
    list=extend_schema(summary="List your API keys", description="The newest first."),
    retrieve=extend_schema(summary="Describe an API key", description="All but its secret."),
)
class ApiKeyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[ApiKey]):
    """Keys of one's own for servers and scripts."""

    queryset = ApiKey.objects.none()
    serializer_class = ApiKeySerializer
    pagination_class = KeysetPagination
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[ApiKey]:
        """Return the caller's keys; those of others do not exist."""
        return ApiKey.objects.for_user(self._caller.pk).with_last_use()

    @extend_schema(summary="Make an API key", responses={201: IssuedKeySerializer})
    def create(self, request: Request) -> Response:
        """Make a key. Its secret is in this answer and nowhere else."""
        traits = cast("Traits", valid(self.get_serializer(data=request.data)))
        issued = services.create_api_key(user=self._caller, traits=traits)
        return self._told(issued, status.HTTP_201_CREATED)

    @extend_schema(summary="Change an API key")
    def partial_update(self, request: Request, **_path: Any) -> Response:
        """Change what is given. A key that is expired or revoked stays as it is."""
        key = self.get_object()
        wish = valid(self.get_serializer(key, data=request.data, partial=True))
        services.update_api_key(key_id=key.pk, by=self._caller, traits=cast("Traits", wish))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(summary="Revoke an API key")
    def destroy(self, _request: Request, **_path: Any) -> Response:
        """End a key, and what it has under way. Once more changes nothing."""
        services.revoke_api_key(key_id=self.get_object().pk, by=self._caller)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="llm_keys_rotate",
        summary="Give an API key another secret",
        request=RotationSerializer,
        responses={200: IssuedKeySerializer},
    )
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, **_path: Any) -> Response:
        """Make a new secret, which is in this answer and nowhere else; the old one works on."""
        key = self.get_object()
        wish = valid(RotationSerializer(data=request.data))
        return self._told(services.rotate_api_key(key_id=key.pk, by=self._caller, **wish))

    @extend_schema(
        operation_id="llm_keys_usage",
        summary="What an API key has used, and what is left of its budget",
        parameters=[UsageQuerySerializer],
        responses=UsageSerializer,
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def usage(self, request: Request, **_path: Any) -> Response:
        """Add up calls that began in a time of at most 366 days; by default in this period."""
        key, now = self.get_object(), timezone.now()
        calls = UsageRecord.objects.filter(api_key_id=key.pk)
        budget = added_up(calls, limit=key.budget, period=key.budget_period, now=now)
        return answer(request, user_id=key.user_id, budget=budget, now=now, api_key_id=key.pk)

    @property
    def _caller(self) -> User:
        return cast("User", self.request.user)

    @sensitive_variables("told")
    def _told(self, issued: Issued, code: int = status.HTTP_200_OK) -> Response:
        key = self.get_queryset().get(pk=issued.key.pk)
        told = {**self.get_serializer(key).data, "secret": issued.secret}
        return Response(told, status=code, headers={"Cache-Control": "no-store"})
