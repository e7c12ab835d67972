"""What rules would have denied, by the audit trail."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.contrib.auth import get_user_model
from django.utils import timezone

from gateway_core.audit.events import Plane
from gateway_core.audit.models import AuditEvent
from gateway_core.errors import GatewayError
from gateway_core.proxy.operations import split_path
from letta_proxy.catalogue import CATALOGUE
from letta_proxy.rules.decisions import compiled, matching
from letta_proxy.rules.patterns import letta_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime
    from uuid import UUID

    from letta_proxy.rules.decisions import Rule, RuleSet, Who

MOST_EVENTS: Final = 10_000
_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class _Caller:
    user_id: UUID
    is_anonymous: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many requests a rule matches, of how many that were looked at, and since when."""

    matched: int
    events: int
    since: datetime

    def __str__(self) -> str:
        return f"{self.matched} of {self.events} requests since {self.since:%Y-%m-%d %H:%M} UTC"


def tally(rules: Collection[Rule], *, most: int = MOST_EVENTS) -> dict[str, Tally]:
    """Count for each rule, by its id, the requests of the last 24 hours that it matches.

    Args:
        most: how many requests are looked at, the newest first.
    """
    since = timezone.now() - timedelta(hours=_HOURS)
    events = list(
        AuditEvent.objects.filter(at__gte=since, plane=Plane.DATA, route="letta")
        .exclude(user_id=None)
        .values_list("method", "path", "user_id", "at")[:most]
    )
    users = {user_id for _, _, user_id, _ in events if user_id}
    anonymous = _anonymous(users) if any(rule.role for rule in rules) else frozenset()
    compiled_rules = compiled(rules)
    matched = Counter(
        rule.id
        for method, path, user_id, _ in events
        if user_id
        for rule in _matching(compiled_rules, method, path, _Caller(user_id, user_id in anonymous))
    )
    oldest = events[-1][3] if len(events) == most else since
    return {
        rule.id: Tally(matched=matched[rule.id], events=len(events), since=oldest) for rule in rules
    }


def _matching(rules: RuleSet, method: str, path: str, who: Who) -> Iterable[Rule]:
    try:
        operation, params = CATALOGUE.match(method, split_path(letta_path(path).encode()))
    except GatewayError:
        return ()
    return matching(rules, operation=operation.name, params=params, who=who)


def _anonymous(user_ids: Iterable[UUID]) -> frozenset[UUID]:
    users = get_user_model().objects.filter(pk__in=user_ids, is_anonymous_user=True)
    return frozenset(users.values_list("pk", flat=True))
