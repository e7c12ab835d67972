"""What the gateway throws away in time: the list that ``manage.py cleanup`` goes through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts.holdings.export import outdated
from accounts.models import Denial, User
from gateway_core.audit import months
from gateway_core.idempotency.services import expired
from letta_proxy.orphans import delete_organizations, orphaned_organizations
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.api_keys.services import revoke_expired
from llm_proxy.leftovers import (
    delete_orphaned_users,
    delete_retiring_keys,
    orphaned_users,
    retiring_keys,
)
from llm_proxy.models import UsageRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.db.models import QuerySet

# Calls to an upstream between two signs of progress.
_CALLS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """One kind of thing that is thrown away.

    Attributes:
        name: of the things, in the plural.
        count: says how many there are now.
        run: throws them away, so many at a time at the most; yields how many each time.
        which: names the things, where there are few.
        prunes: what is thrown away is an upstream's. If our database is not the one that the
            upstream was used with, that is everything.
    """

    name: str
    count: Callable[[], int]
    run: Callable[[int], Iterator[int]]
    which: Callable[[], Sequence[object]] | None = None
    prunes: bool = False


def rows(name: str, find: Callable[[], QuerySet[Any]]) -> Chore:
    """Return the chore of deleting rows, in transactions that are short and lock nothing else.

    They go in the order of their ids, so none is looked at twice.
    """

    def run(batch_size: int) -> Iterator[int]:
        found = find().order_by("pk")
        ids = list(found.values_list("pk", flat=True)[:batch_size])
        while ids:
            yield found.model.objects.filter(pk__in=ids).delete()[0]
            later = found.filter(pk__gt=ids[-1])
            ids = list(later.values_list("pk", flat=True)[:batch_size])

    return Chore(name=name, count=lambda: find().count(), run=run)


def things(
    name: str,
    find: Callable[[], Sequence[Any]],
    delete: Callable[[Sequence[Any]], int],
    *,
    prunes: bool = False,
) -> Chore:
    """Return the chore of deleting what an upstream has."""

    def run(batch_size: int) -> Iterator[int]:
        found, size = find(), min(batch_size, _CALLS)
        for start in range(0, len(found), size):
            yield delete(found[start : start + size])

    return Chore(name=name, count=lambda: len(find()), run=run, prunes=prunes)


def _older(queryset: QuerySet[Any], column: str, days: int) -> QuerySet[Any]:
    """Return the rows from before so many days; 0 days: none, they are kept for ever."""
    if not days:
        return queryset.none()
    return queryset.filter(**{f"{column}__lt": timezone.now() - timedelta(days=days)})


def _expired_keys() -> QuerySet[ApiKey]:
    return ApiKey.objects.left_over(timezone.now())


def _forgotten_keys() -> QuerySet[ApiKey]:
    """Return the revoked keys whose usage is told no longer, and which LiteLLM has no key for."""
    keys = ApiKey.objects.filter(virtual_key=None)
    return _older(keys, "revoked_at", settings.USAGE_RETENTION_DAYS)


def _old_months() -> list[months.Month]:
    return months.past_retention(timezone.now(), settings.AUDIT_RETENTION_DAYS)


def _drop_months(_batch_size: int) -> Iterator[int]:
    for month in _old_months():
        months.drop(month)
        yield 1


def _old_usage() -> QuerySet[UsageRecord]:
    return _older(UsageRecord.objects.all(), "at", settings.USAGE_RETENTION_DAYS)


def _nobodys_usage() -> QuerySet[UsageRecord]:
    """Return the records of calls that ended when their user was erased already."""
    return UsageRecord.objects.filter(~Exists(User.objects.filter(pk=OuterRef("user_id"))))


CHORES: Final = (
    Chore(name="expired API keys", count=lambda: _expired_keys().count(), run=revoke_expired),
    things("retiring virtual keys", retiring_keys, delete_retiring_keys),
    rows("long revoked API keys", _forgotten_keys),
    Chore(
        name="old months of audit events",
        count=lambda: len(_old_months()),
        run=_drop_months,
        which=_old_months,
    ),
    rows("old usage records", _old_usage),
    rows("usage records of erased users", _nobodys_usage),
    rows("expired idempotency keys", expired),
    rows("exports that were kept long enough", outdated),
    rows("denials that are over", Denial.objects.expired),
    things("orphaned LiteLLM users", orphaned_users, delete_orphaned_users, prunes=True),
    things(
        "orphaned Letta organizations", orphaned_organizations, delete_organizations, prunes=True
    ),
)
