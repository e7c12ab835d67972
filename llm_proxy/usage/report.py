"""What a user has used, added up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncDate

from gateway_core.errors import FieldInvalid
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.usage.models import UsageRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

MOST_GROUPS: Final = 5000

_CALL: Final = Q(kind=UsageRecord.Kind.CALL)
_SUMS: Final = {
    "calls": Count("pk", filter=_CALL),
    "open_calls": Count("pk", filter=_CALL & Q(cost=None)),
    "turns": Count("pk", filter=~_CALL),
    # What the turns used, their calls have used.
    "sum_in": Sum("tokens_in", filter=_CALL, default=0),
    "sum_out": Sum("tokens_out", filter=_CALL, default=0),
    "sum_cost": Sum("cost", filter=_CALL, default=Decimal(0)),
}
# By what usage may be grouped, and which members of a group say so.
GROUPINGS: Final[dict[str, dict[str, Any]]] = {
    "day": {"day": TruncDate("at", tzinfo=UTC)},
    "model": {"model_name": F("model")},
    "agent": {"agent": F("agent_id")},
    "key": {"key_id": F("api_key_id")},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Sums of a time.

    Attributes:
        totals: of everything.
        groups: by what was asked for, in its order.
    """

    totals: dict[str, Any]
    groups: list[dict[str, Any]]


def report_usage(
    *,
    user_id: UUID,
    since: datetime,
    until: datetime,
    group_by: Sequence[str],
    api_key_id: UUID | None = None,
) -> Report:
    """Add up what a user has used from ``since`` on and before ``until``.

    Args:
        api_key_id: with one of their API keys; None: in every way.
        group_by: of ``GROUPINGS``. A turn is no use of a model, so groups by model leave them out.

    Raises:
        FieldInvalid: there are more groups than anybody reads.
    """
    records = UsageRecord.objects.filter(user_id=user_id, at__gte=since, at__lt=until).order_by()
    if api_key_id is not None:
        records = records.filter(api_key_id=api_key_id)
    totals = _told(records.aggregate(**_SUMS))
    if not group_by:
        return Report(totals=totals, groups=[])
    if "model" in group_by:
        records = records.filter(_CALL)
    members = {name: member for by in group_by for name, member in GROUPINGS[by].items()}
    groups = records.values(**members).annotate(**_SUMS).order_by(*members)[: MOST_GROUPS + 1]
    rows = [_told(row) for row in groups]
    if len(rows) > MOST_GROUPS:
        raise FieldInvalid(
            f"There are more than {MOST_GROUPS} groups. Ask for a shorter time, or group by less.",
            param="/group_by",
        )
    if "key" in group_by:
        _name_keys(user_id, rows)
    return Report(totals=totals, groups=rows)


def _told(row: Mapping[str, object]) -> dict[str, Any]:
    """Return a row by the names that sums have outside."""
    names = {
        "sum_in": "tokens_in",
        "sum_out": "tokens_out",
        "sum_cost": "cost",
        "model_name": "model",
        "agent": "agent_id",
        "key_id": "api_key_id",
    }
    return {names.get(name, name): value for name, value in row.items()}


def _name_keys(user_id: UUID, rows: list[dict[str, Any]]) -> None:
    names = dict(ApiKey.objects.filter(user_id=user_id).values_list("pk", "name"))
    for row in rows:
        row["api_key_name"] = names.get(row["api_key_id"], "")
