from __future__ import annotations

from typing import TYPE_CHECKING, cast

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.plans.left import told_left
from accounts.plans.serializers import LeftSerializer

if TYPE_CHECKING:
    from rest_framework.request import Request

    from accounts.models import User


class MyLimitsView(APIView):
    """What the caller may still do now."""

    @extend_schema(summary="What may I do, and what is left", tags=["me"], responses=LeftSerializer)
    def get(self, request: Request) -> Response:
        """Tell the limits of the caller's plan, and what is left of each."""
        return Response(LeftSerializer(told_left(cast("User", request.user).pk)).data)
