"""What is done to users. Every change ends in each process forgetting what it knew of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from accounts.models import User
from accounts.principals.memory import INVALIDATION_SUBJECT
from accounts.sessions.models import DenialReason
from accounts.sessions.services import allow_user
from accounts.supabase import client
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


def tell_supabase(*, user_id: UUID, is_suspended: bool, by: User) -> None:
    """Ban at Supabase whom staff suspend here, and lift the ban again, where settings want that.

    Somebody whom Supabase does not know is left alone. Repeating it is safe.

    Raises:
        UpstreamError: Supabase does not do it.
    """
    if not settings.SUPABASE_BAN_SUSPENDED:
        return
    if is_suspended:
        client.ban_user(user_id)
    elif client.unban_user(user_id):
        allow_user(user_id=user_id, reason=DenialReason.BANNED, by=by)


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
