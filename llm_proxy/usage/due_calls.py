"""Calls that are due to be looked up in LiteLLM's log: those without a known cost, and streams.

LiteLLM 1.109.1 works a stream's cost out twice: for its usage chunk, and when it bills. The two may
differ (measured: prices of ``litellm_params``, and both chat and text completions of one deployment
under way). So what a stream tells holds until the log has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Final

from django.conf import settings

from llm_proxy.usage.models import UsageRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from llm_proxy.usage.client import Books, LoggedCall

# At once, so that the look-ups are never much of LiteLLM's work.
_MOST: Final = 200
# After that long, the call is left to reconcile_usage.
PATIENCE: Final = timedelta(hours=1)
# What is no longer apart is looked for together.
_APART: Final = timedelta(minutes=1)
# How far the log's time may be from a record's: clocks, queues, uploads. What is not found there
# is looked for further around, by this part of its age.
_NEAR: Final = timedelta(seconds=5)
_PART: Final = 20
# What it costs LiteLLM to find one call, in rows of a page (measured: 17 ms and 2.3 ms).
_ROWS_FOR_ONE: Final = 7
_CENTS: Final = Decimal(1).scaleb(-12)  # as many decimals as the column has


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What came of a round, in calls.

    Attributes:
        filled: had no cost.
        agreed: were billed what they had told.
        corrected: were billed something else.
        waiting: are not in the log yet.
    """

    filled: int = 0
    agreed: int = 0
    corrected: int = 0
    waiting: int = 0


def has_due(now: datetime) -> bool:
    """Say whether there is anything to look for."""
    return UsageRecord.objects.filter(look_at__lte=now).exists()


def look_up_due(books: Books, now: datetime) -> Looked:
    """Look for the calls whose time it is; for those that are not there, later again.

    Raises:
        UpstreamError: LiteLLM can't be asked; nothing has changed.
    """
    due = list(UsageRecord.objects.filter(look_at__lte=now).order_by("look_at", "at")[:_MOST])
    found: dict[str, LoggedCall] = {}
    for group in _groups(due):
        found |= _found(books, group, now)
    agreed, corrected = [], 0
    for record in due:
        logged = found.get(record.call_id)
        if logged is None:
            # Unless reconcile_usage was quicker.
            still_due = UsageRecord.objects.filter(pk=record.pk, look_at=record.look_at)
            still_due.update(look_at=_next_look(record.at, now))
        elif agree(record, logged):
            agreed.append(record.pk)
        else:
            corrected += record.cost is not None
            take_over(record, logged)
    UsageRecord.objects.filter(pk__in=agreed).update(look_at=None)
    return Looked(
        filled=len(found) - len(agreed) - corrected,
        agreed=len(agreed),
        corrected=corrected,
        waiting=len(due) - len(found),
    )


def agree(record: UsageRecord, logged: LoggedCall) -> bool:
    """Say whether a record has the cost that LiteLLM's log has."""
    return record.cost == logged.cost.quantize(_CENTS)


def take_over(record: UsageRecord, logged: LoggedCall) -> None:
    """Have a record say what LiteLLM's log says."""
    record.cost = logged.cost
    record.tokens_in, record.tokens_out = logged.tokens_in, logged.tokens_out
    record.look_at = None
    record.save(update_fields=("cost", "tokens_in", "tokens_out", "look_at"))


def _groups(records: list[UsageRecord]) -> Iterator[list[UsageRecord]]:
    """Yield records about one time together."""
    group: list[UsageRecord] = []
    for record in sorted(records, key=lambda record: record.at):
        if group and record.at > group[-1].at + _APART:
            yield group
            group = []
        group.append(record)
    if group:
        yield group


def _found(books: Books, group: list[UsageRecord], now: datetime) -> dict[str, LoggedCall]:
    """Return what the log has of these calls, by call id, in the way that is cheaper for it."""
    wanted = {record.call_id for record in group}
    margin = max(_NEAR, (now - group[0].at) / _PART)
    since, until = group[0].at - margin, group[-1].at + margin
    around = UsageRecord.objects.filter(at__range=(since, until), kind=UsageRecord.Kind.CALL)
    users = {record.user_id for record in group}
    user_id = users.pop() if len(users) == 1 else None
    if user_id is not None:
        around = around.filter(user_id=user_id)
    rows = len(wanted) * _ROWS_FOR_ONE
    found: dict[str, LoggedCall] = {}
    if around[:rows].count() + _ROWS_FOR_ONE < rows:
        calls = list(islice(books.calls(since=since, until=until, user_id=user_id), rows))
        found = {call.call_id: call for call in calls if call.call_id in wanted}
        # Otherwise LiteLLM has been called by others besides, and these may come yet.
        if len(calls) < rows:
            return found
    one_by_one = ((call_id, books.call(call_id)) for call_id in wanted - found.keys())
    return found | {call_id: call for call_id, call in one_by_one if call is not None}


def _next_look(began_at: datetime, now: datetime) -> datetime | None:
    age = now - began_at
    if age > PATIENCE:
        return None
    return now + max(age, timedelta(seconds=settings.USAGE_COLLECT_SECONDS))
