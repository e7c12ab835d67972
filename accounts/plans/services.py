"""Who has which limits, and what is done to plans.

Limits are remembered in each process. A change of a plan makes every process forget everybody's, a
change of a user's own only that user's; both are in force within a second.
"""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import transaction

from accounts.plans.limits import Limits, covers
from accounts.plans.models import LimitFields, Plan, UserPlan
from gateway_core import cache
from gateway_core.audit.services import record_change
from gateway_core.cache import LocalCache
from gateway_core.errors import ResourceConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from accounts.models import User

__all__ = (
    "EVERYBODY",
    "INVALIDATION_SUBJECT",
    "Limits",
    "alimits_for",
    "covers",
    "delete_plan",
    "limits_for",
    "limits_of",
    "save_plan",
    "save_user_plan",
    "when_plan_changes",
    "when_user_changes",
)

# What processes tell each other; the key is a user's id, or everybody.
INVALIDATION_SUBJECT: Final = "limits"
EVERYBODY: Final = "*"

# Told of a plan that has changed, in the transaction that changes it.
when_plan_changes: list[Callable[[Plan], None]] = []
# Told of a user whose own limits have changed, after the commit, in the process that did it.
when_user_changes: list[Callable[[UUID], None]] = []

_limits: LocalCache[UUID, Limits] = LocalCache(
    "limits", ttl=lambda: settings.CACHE_TTL_USER, max_entries=20_000
)


def limits_for(user_id: UUID) -> Limits:
    """Return a user's limits; may query the database.

    Raises:
        Plan.DoesNotExist: the user is on no plan and none is the default; ``save_plan`` and
            ``delete_plan`` see to it that one always is.
    """
    return _limits.load_sync(user_id, partial(_read, user_id))


async def alimits_for(user_id: UUID) -> Limits:
    """Return a user's limits without blocking; raises as ``limits_for`` does."""
    return await _limits.load(user_id, partial(_read_in_thread, user_id))


def limits_of(user_ids: Collection[UUID]) -> dict[UUID, Limits]:
    """Return many users' limits as the database has them now, with two queries."""
    default = Plan.objects.filter(is_default=True).first()
    own = UserPlan.objects.select_related("plan").in_bulk(user_ids)
    return {user_id: _limits_on(default, own.get(user_id)) for user_id in user_ids}


def save_user_plan(*, user_plan: UserPlan, by: User | None) -> None:
    """Store a user's plan and own limits.

    Raises:
        ValidationError: a limit can't be, or is given and taken away.
    """
    user_plan.clean_fields()
    user_plan.clean()
    user_id = user_plan.user_id
    with transaction.atomic():
        before = UserPlan.objects.select_for_update().filter(pk=user_id).first()
        user_plan.save()
        facts = {"changes": _changes(before, user_plan)}
        record_change(actor=by, action="user_plan.change", resource=f"user:{user_id}", facts=facts)
        transaction.on_commit(partial(_user_changed, user_id))


def save_plan(*, plan: Plan, by: User | None) -> None:
    """Add or change a plan. A default plan takes the place of the one before it.

    Raises:
        ValidationError: a field can't be.
        ResourceConflict: there would be no default plan.
    """
    plan.full_clean()
    with transaction.atomic():
        before = Plan.objects.select_for_update().filter(pk=plan.pk).first()
        others = Plan.objects.exclude(pk=plan.pk).filter(is_default=True)
        if plan.is_default:
            others.update(is_default=False)
        elif not others.exists():
            raise ResourceConflict("One plan has to be the default. Make another one that first.")
        plan.save()
        _announce(plan, "change" if before else "create", by, changes=_changes(before, plan))
        for tell in when_plan_changes:
            tell(plan)


def delete_plan(*, plan: Plan, by: User | None) -> None:
    """Delete a plan that nobody is on.

    Raises:
        ResourceConflict: it is the default, or users are on it.
    """
    with transaction.atomic():
        locked = Plan.objects.select_for_update().get(pk=plan.pk)
        if locked.is_default:
            raise ResourceConflict("The default plan can't be deleted. Make another one that.")
        if locked.users.exists():
            raise ResourceConflict("Users are on this plan. Put them on another one first.")
        _announce(locked, "delete", by)
        locked.delete()


def _announce(plan: Plan, verb: str, by: User | None, **facts: Any) -> None:
    facts["name"] = plan.name
    record_change(actor=by, action=f"plan.{verb}", resource=f"plan:{plan.pk}", facts=facts)
    transaction.on_commit(partial(cache.invalidate, INVALIDATION_SUBJECT, EVERYBODY))


def _user_changed(user_id: UUID) -> None:
    cache.invalidate(INVALIDATION_SUBJECT, str(user_id))
    for tell in when_user_changes:
        tell(user_id)


def _changes(before: LimitFields | None, after: LimitFields) -> list[str]:
    """Return ``name: old -> new`` for each field that was changed."""
    names = [field.name for field in fields(Limits) if hasattr(after, field.name)]
    names += [name for name in ("name", "is_default", "plan", "unlimited") if hasattr(after, name)]
    shown = ((name, _shown(before, name), _shown(after, name)) for name in names)
    return [f"{name}: {old} -> {new}" for name, old, new in shown if old != new]


def _shown(row: LimitFields | None, name: str) -> str:
    value = getattr(row, name, None)
    if isinstance(value, list):
        value = " ".join(value)
    return "none" if value in {None, ""} else str(value)


def _read(user_id: UUID) -> Limits:
    return limits_of([user_id])[user_id]


def _limits_on(default: Plan | None, own: UserPlan | None) -> Limits:
    plan = (own.plan if own else None) or default
    if plan is None:
        raise Plan.DoesNotExist("No plan is the default.")
    return Limits.of(plan, own)


def _forget(key: str) -> None:
    if key == EVERYBODY:
        _limits.clear()
    else:
        _limits.forget(UUID(key))


# Not "thread sensitive": that would queue every first request of the process on one thread.
_read_in_thread = database_sync_to_async(_read, thread_sensitive=False)
cache.on_invalidate(INVALIDATION_SUBJECT, _forget)
