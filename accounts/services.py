"""What is done to users. Every change ends in each process forgetting what it knew of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction

from accounts.models import User
from accounts.principals import INVALIDATION_SUBJECT
from gateway_core import cache
from gateway_core.audit.services import record_change

if TYPE_CHECKING:
    from uuid import UUID


def suspend_user(*, user_id: UUID, by: User) -> bool:
    """Shut a user out of the API and the admin, within a second in every process.

    Returns:
        Whether anything changed.
    """
    return _set_active(user_id=user_id, is_active=False, by=by)


def resume_user(*, user_id: UUID, by: User) -> bool:
    """Let a suspended user in again; returns whether anything changed."""
    return _set_active(user_id=user_id, is_active=True, by=by)


def _set_active(*, user_id: UUID, is_active: bool, by: User) -> bool:
    with transaction.atomic():
        changed = User.objects.filter(pk=user_id, is_active=not is_active).update(
            is_active=is_active
        )
        if changed:
            action = "user.resume" if is_active else "user.suspend"
            record_change(actor=by, action=action, resource=f"user:{user_id}")
            transaction.on_commit(partial(cache.invalidate, INVALIDATION_SUBJECT, str(user_id)))
    return bool(changed)
