"""What users and API keys have spent already, for a LiteLLM that makes them anew.

By the usage records of the current budget period. Costs that are not known yet are missing, and so
are calls whose records are on their way, for a second or two: a budget is never smaller for it than
it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from channels.db import database_sync_to_async
from django.utils import timezone

from llm_proxy.api_keys.models import ApiKey
from llm_proxy.client.keys import key_info
from llm_proxy.usage.budget import added_up
from llm_proxy.usage.models import UsageRecord
from llm_proxy.virtual_keys.models import VirtualKey

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from llm_proxy.virtual_keys.standing import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """US dollars in the current periods: of the user, and of the key's own budget."""

    by_user: float
    by_key: float


async def spent_before(standing: Standing) -> Spent:
    """Return what counts as spent when LiteLLM makes a key and its user.

    Of a managed key nothing: only the user's budget counts. For an API key's that replaces another,
    LiteLLM's count on that one holds where it is higher: it has what was called behind the gateway.
    """
    now = timezone.now()
    recorded: Spent = await _recorded(standing, now)
    predecessor = standing.key.predecessor_hash
    if not predecessor or standing.key.kind != VirtualKey.Kind.API_KEY:
        return recorded
    info = await key_info(predecessor)
    is_of_now = info is not None and info.resets_at is not None and info.resets_at > now
    counted = info.spend if info and is_of_now else 0.0
    return Spent(by_user=recorded.by_user, by_key=max(recorded.by_key, counted))


def _add_up(standing: Standing, now: datetime) -> Spent:
    key, terms = standing.key, standing.terms
    of_user = UsageRecord.objects.filter(user_id=key.user_id)
    by_user = _sum(of_user, terms.user["budget_duration"], now)
    if key.kind != VirtualKey.Kind.API_KEY:
        return Spent(by_user=by_user, by_key=0.0)
    of_key = of_user.filter(api_key_id__in=ApiKey.objects.filter(virtual_key=key).values("pk"))
    return Spent(by_user=by_user, by_key=_sum(of_key, terms.key["budget_duration"], now))


def _sum(records: QuerySet[UsageRecord], period: str, now: datetime) -> float:
    return float(added_up(records, limit=None, period=period, now=now).spent)


_recorded = database_sync_to_async(_add_up, thread_sensitive=False)
