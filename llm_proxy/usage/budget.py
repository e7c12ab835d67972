"""What is left of a user's budget: as LiteLLM counts, since it is LiteLLM that says no.

What it counts against are the user's limits, which it may be about to be told of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final

from django.db.models import Sum

from accounts.plans.models import BudgetPeriod
from accounts.plans.services import limits_for
from gateway_core.cache import LocalCache
from gateway_core.errors import UpstreamError
from llm_proxy.usage.client import open_books
from llm_proxy.usage.models import UsageRecord

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet

    from llm_proxy.usage.client import UserSpend

_SECONDS: Final = 5.0
_READ_SECONDS: Final = 3.0
_MOMENT: Final = timedelta(microseconds=1)
# From the first of a month, that many days are in the next one.
_MORE_THAN_A_MONTH: Final = timedelta(days=32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The budget of a user, or of an API key.

    Attributes:
        limit: US dollars in each period, None when there is no limit.
        spent: US dollars in this period; since ever, when there is none.
        remaining: US dollars, None when there is no limit.
        period: a ``BudgetPeriod``, None when the budget is never renewed.
        began_at: when this period did.
        resets_at: when the next one does.
        is_exact: it is what LiteLLM counts, and not what the gateway's records add up to.
    """

    limit: Decimal | None
    spent: Decimal
    period: str | None
    began_at: datetime | None
    resets_at: datetime | None
    is_exact: bool

    @property
    def remaining(self) -> Decimal | None:
        """Return what may still be spent."""
        return None if self.limit is None else max(self.limit - self.spent, Decimal(0))


@dataclass(frozen=True, slots=True)
class _Told:
    """What LiteLLM said; ``spend`` is None for a user it does not know."""

    is_away: bool
    spend: UserSpend | None = None


# Also that LiteLLM is away, or each page of a client would wait for it.
_told: LocalCache[UUID, _Told] = LocalCache("spend", ttl=lambda: _SECONDS, max_entries=20_000)


def budget_of(user_id: UUID, now: datetime) -> Budget:
    """Return a user's budget; asks LiteLLM unless it has just been asked.

    While LiteLLM is away, and between the end of a period and its noticing, the gateway's own
    records are added up instead.
    """
    told = _told.load_sync(user_id, partial(_ask, user_id))
    spend = told.spend
    if spend is None:
        return _estimated(user_id, now, is_exact=not told.is_away)
    if spend.resets_at is not None and spend.resets_at <= now:
        return _estimated(user_id, now, is_exact=False)
    limits = limits_for(user_id)
    # LiteLLM keeps what was spent, and sets the end anew, when it is told of another period.
    is_told = spend.period == limits.budget_period and spend.resets_at is not None
    span = None if is_told else period_around(limits.budget_period, now)
    return Budget(
        limit=limits.budget,
        spent=spend.spent,
        period=limits.budget_period,
        began_at=span[0] if span else began_at(spend),
        resets_at=span[1] if span else spend.resets_at,
        is_exact=True,
    )


def period_around(period: str | None, at: datetime) -> tuple[datetime, datetime] | None:
    """Return begin and end of the budget period that a moment is in, as LiteLLM 1.109.1 has them.

    Days, weeks and months are those of the calendar, in UTC: ``30d`` is a month. None where the
    period is not one of the gateway's.
    """
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == BudgetPeriod.DAY:
        return midnight, midnight + timedelta(days=1)
    if period == BudgetPeriod.WEEK:
        monday = midnight - timedelta(days=midnight.weekday())
        return monday, monday + timedelta(days=7)
    if period == BudgetPeriod.MONTH:
        first = midnight.replace(day=1)
        return first, (first + _MORE_THAN_A_MONTH).replace(day=1)
    return None


def _ask(user_id: UUID) -> _Told:
    try:
        with open_books(read_seconds=_READ_SECONDS) as books:
            return _Told(is_away=False, spend=books.spend_of(user_id))
    except UpstreamError:
        return _Told(is_away=True)


def began_at(spend: UserSpend) -> datetime | None:
    """Return when the period began that LiteLLM counts; None where it has none."""
    if spend.resets_at is None:
        return None
    period = period_around(spend.period, spend.resets_at - _MOMENT)
    return None if period is None else spend.resets_at - (period[1] - period[0])


def _estimated(user_id: UUID, now: datetime, *, is_exact: bool) -> Budget:
    """Return the budget by the user's plan and the gateway's own records."""
    limits = limits_for(user_id)
    records = UsageRecord.objects.filter(user_id=user_id)
    return added_up(
        records, limit=limits.budget, period=limits.budget_period, now=now, is_exact=is_exact
    )


def added_up(
    records: QuerySet[UsageRecord],
    *,
    limit: Decimal | None,
    period: str,
    now: datetime,
    is_exact: bool = False,
) -> Budget:
    """Return a budget by what records of calls in this period cost, as far as that is known."""
    span = period_around(period, now)
    if span is not None:
        records = records.filter(at__gte=span[0])
    return Budget(
        limit=limit,
        spent=records.aggregate(cost=Sum("cost", default=Decimal(0)))["cost"],
        period=period if span else None,
        began_at=span[0] if span else None,
        resets_at=span[1] if span else None,
        is_exact=is_exact,
    )
