"""What users have spent by the gateway's records, next to what LiteLLM counts on their budgets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db.models import Q, Sum

from llm_proxy.usage.budget import began_at
from llm_proxy.usage.models import UsageRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from llm_proxy.usage.client import Books
    from llm_proxy.usage.reconcile import Tally

# LiteLLM adds up floating-point numbers.
TOLERANCE: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One user's, in US dollars.

    Attributes:
        ours: by the records, in this budget period.
        counted: by LiteLLM; None where the two can't be compared now.
        amount: what the records have too much.
    """

    user_id: UUID
    ours: Decimal
    counted: Decimal | None
    amount: Decimal

    @property
    def is_left(self) -> bool:
        """Say whether it is more than rounding."""
        return abs(self.amount) > TOLERANCE


def drifts(books: Books, tally: Tally, *, now: datetime, idle: timedelta) -> Iterator[Drift]:
    """Yield how each user of a comparison stands after it.

    LiteLLM's count lags behind its answers: where it is another than ours, those who have called
    within the ``idle`` time or have open calls are judged by the log alone. So are those whose
    period is just over.

    Raises:
        UpstreamError: LiteLLM can't be asked.
    """
    for user_id in sorted(tally.users):
        yield _drift(books, user_id, tally.unlogged[user_id], now=now, idle=idle)


def _drift(
    books: Books, user_id: UUID, unlogged: Decimal, *, now: datetime, idle: timedelta
) -> Drift:
    spend = books.spend_of(user_id)
    records = UsageRecord.objects.filter(user_id=user_id, kind=UsageRecord.Kind.CALL)
    since = began_at(spend) if spend else None
    if since:
        # A call that began in the last period may have been billed in this one.
        longest = timedelta(seconds=settings.LITELLM_TIMEOUT) + idle
        records = records.filter(at__gte=since - longest)
    ours = _sum(records.filter(at__gte=since) if since else records)
    by_log = Drift(user_id=user_id, ours=ours, counted=None, amount=unlogged)
    if spend is None or (spend.resets_at and spend.resets_at <= now):
        return by_log
    nearest = min(max(spend.spent, ours), _sum(records))
    drift = Drift(user_id=user_id, ours=ours, counted=spend.spent, amount=nearest - spend.spent)
    is_unsettled = records.filter(Q(at__gt=now - idle) | Q(cost=None)).exists()
    return by_log if drift.is_left and is_unsettled else drift


def _sum(records: QuerySet[UsageRecord]) -> Decimal:
    total: Decimal = records.aggregate(cost=Sum("cost", default=Decimal(0)))["cost"]
    return total
