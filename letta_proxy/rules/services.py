"""What is done to rules. Every change is on the audit trail, and in force within a second."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction

from gateway_core import cache
from gateway_core.audit.services import record_change
from letta_proxy.rules.book import INVALIDATION_SUBJECT

if TYPE_CHECKING:
    from accounts.models import User
    from letta_proxy.rules.models import AccessRule


def save_rule(*, rule: AccessRule, by: User) -> None:
    """Add or change a rule.

    Raises:
        ValidationError: its fields don't fit, or it could never match.
    """
    rule.full_clean()
    action = "access_rule.change" if rule.pk else "access_rule.create"
    with transaction.atomic():
        rule.updated_by = by
        rule.save()
        _announce(rule, action, by)


def delete_rule(*, rule: AccessRule, by: User) -> None:
    """Delete a rule."""
    with transaction.atomic():
        _announce(rule, "access_rule.delete", by)
        rule.delete()


def _announce(rule: AccessRule, action: str, by: User) -> None:
    record_change(actor=by, action=action, resource=f"access_rule:{rule.pk}", facts=_facts(rule))
    transaction.on_commit(partial(cache.invalidate, INVALIDATION_SUBJECT, rule.rule_id))


def _facts(rule: AccessRule) -> dict[str, Any]:
    return {
        "rule": rule.rule_id,
        "effect": rule.effect,
        "method": rule.method,
        "path_pattern": rule.path_pattern,
        "only_for": str(rule.user_id or rule.role),
        "is_active": rule.is_active,
        "reason": rule.reason,
    }
