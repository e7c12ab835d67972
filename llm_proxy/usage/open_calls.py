"""Calls whose cost was not told, filled in from LiteLLM's log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
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
# Between LiteLLM's clock and ours, at the most.
_SKEW: Final = timedelta(minutes=1)
# What it costs LiteLLM to find one call, in rows of a page (measured: 17 ms and 2.3 ms).
_ROWS_FOR_ONE: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What came of a round: how many calls were filled in, how many still wait."""

    filled: int = 0
    waiting: int = 0


def has_due(now: datetime) -> bool:
    """Say whether there is anything to look for."""
    return UsageRecord.objects.filter(look_at__lte=now).exists()


def fill_in_due(books: Books, now: datetime) -> Looked:
    """Look for the calls whose time it is; for those that are not there, later again.

    Raises:
        UpstreamError: LiteLLM can't be asked; nothing has changed.
    """
    due = list(UsageRecord.objects.filter(look_at__lte=now).order_by("look_at")[:_MOST])
    found: dict[str, LoggedCall] = {}
    for group in _groups(due):
        found |= _found(books, group)
    for record in due:
        if (logged := found.get(record.call_id)) is not None:
            take_over(record, logged)
        else:
            # Unless reconcile_usage was quicker.
            still_open = UsageRecord.objects.filter(pk=record.pk, cost=None)
            still_open.update(look_at=_next_look(record.at, now))
    return Looked(filled=len(found), waiting=len(due) - len(found))


def take_over(record: UsageRecord, logged: LoggedCall) -> None:
    """Have a record say what LiteLLM's log says."""
    record.cost = logged.cost
    record.tokens_in, record.tokens_out = logged.tokens_in, logged.tokens_out
    record.look_at = None
    record.save(update_fields=("cost", "tokens_in", "tokens_out", "look_at"))


def _groups(records: list[UsageRecord]) -> Iterator[list[UsageRecord]]:
    """Yield records of one user and about one time together."""
    group: list[UsageRecord] = []
    for record in sorted(records, key=lambda record: (record.user_id, record.at)):
        if group and (record.user_id != group[-1].user_id or record.at > group[-1].at + _SKEW):
            yield group
            group = []
        group.append(record)
    if group:
        yield group


def _found(books: Books, group: list[UsageRecord]) -> dict[str, LoggedCall]:
    """Return what the log has of these calls, by call id, in the way that is cheaper for it."""
    wanted = {record.call_id for record in group}
    user_id, since, until = group[0].user_id, group[0].at - _SKEW, group[-1].at + _SKEW
    rows = UsageRecord.objects.filter(
        user_id=user_id, at__range=(since, until), kind=UsageRecord.Kind.CALL
    ).count()
    if rows + _ROWS_FOR_ONE < len(wanted) * _ROWS_FOR_ONE:
        calls = books.calls(since=since, until=until, user_id=user_id)
        return {call.call_id: call for call in calls if call.call_id in wanted}
    return {call_id: call for call_id in wanted if (call := books.call(call_id)) is not None}


def _next_look(began_at: datetime, now: datetime) -> datetime | None:
    age = now - began_at
    if age > PATIENCE:
        return None
    return now + max(age, timedelta(seconds=settings.USAGE_COLLECT_SECONDS))
