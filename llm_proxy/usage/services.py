"""What other packages ask about usage."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db.models import Count, Max, Sum

from llm_proxy.usage.models import UsageRecord

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyUsage:
    """What the model calls with one API key have come to.

    Attributes:
        cost: US dollars, as far as it is known yet.
        last_used_at: when the latest call began, None when there was none.
    """

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: Decimal = Decimal(0)
    last_used_at: datetime | None = None


def usage_by_api_key(
    api_key_ids: Collection[UUID], *, since: datetime | None = None
) -> dict[UUID, ApiKeyUsage]:
    """Return the usage of each of these API keys, in one query.

    Args:
        since: counts calls that began then or later; None: all.
    """
    calls = UsageRecord.objects.filter(api_key_id__in=list(api_key_ids), kind=UsageRecord.Kind.CALL)
    if since is not None:
        calls = calls.filter(at__gte=since)
    sums = (
        calls.order_by()
        .values("api_key_id")
        .annotate(
            calls=Count("pk"),
            sum_in=Sum("tokens_in", default=0),
            sum_out=Sum("tokens_out", default=0),
            sum_cost=Sum("cost", default=Decimal(0)),
            last_used_at=Max("at"),
        )
    )
    found = {
        row["api_key_id"]: ApiKeyUsage(
            calls=row["calls"],
            tokens_in=int(row["sum_in"]),
            tokens_out=int(row["sum_out"]),
            cost=row["sum_cost"],
            last_used_at=row["last_used_at"],
        )
        for row in sums
    }
    return {key_id: found.get(key_id, ApiKeyUsage()) for key_id in api_key_ids}
