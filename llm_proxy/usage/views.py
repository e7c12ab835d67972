from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from gateway_core.errors import FieldInvalid
from gateway_core.intake import valid
from llm_proxy.usage.budget import budget_of, period_around
from llm_proxy.usage.report import report_usage
from llm_proxy.usage.serializers import UsageQuerySerializer, UsageSerializer

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from rest_framework.request import Request

    from accounts.models import User
    from llm_proxy.usage.budget import Budget

_LONGEST: Final = timedelta(days=366)
_USUAL: Final = timedelta(days=30)
_MOMENT: Final = timedelta(microseconds=1)


class MyUsageView(APIView):
    """The signed-in user's model calls and agent turns."""

    @extend_schema(
        summary="What you have used, and what is left",
        tags=["me"],
        parameters=[UsageQuerySerializer],
        responses=UsageSerializer,
    )
    def get(self, request: Request) -> Response:
        """Add up calls that began in a time of at most 366 days; by default in this period."""
        user_id, now = cast("User", request.user).pk, timezone.now()
        return answer(request, user_id=user_id, budget=budget_of(user_id, now), now=now)


def answer(
    request: Request,
    *,
    user_id: UUID,
    budget: Budget,
    now: datetime,
    api_key_id: UUID | None = None,
) -> Response:
    """Return the usage that a request's query asks for.

    Args:
        api_key_id: of that API key; None: all of the user's.

    Raises:
        FieldInvalid, ValidationError: what is asked for can't be.
    """
    wish = valid(UsageQuerySerializer(data=request.query_params))
    until = wish.get("to", now)
    since = wish.get("from") or _beginning(budget, until)
    if not timedelta() < until - since <= _LONGEST:
        raise FieldInvalid(
            "from must be before to, or before now without a to, by 366 days at the most.",
            param="/from",
        )
    report = report_usage(
        user_id=user_id,
        since=since,
        until=until,
        group_by=wish["group_by"],
        api_key_id=api_key_id,
    )
    told = {
        "from": since,
        "to": until,
        "totals": report.totals,
        "groups": report.groups,
        "budget": budget,
    }
    return Response(UsageSerializer(told).data)


def _beginning(budget: Budget, until: datetime) -> datetime:
    """Return when the budget period began that ends with, or is under way at, a time."""
    if budget.began_at is not None and budget.began_at < until:
        return budget.began_at
    span = period_around(budget.period, until - _MOMENT)
    return span[0] if span else until - _USUAL
