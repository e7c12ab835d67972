"""What puts sessions and users on the deny-list and takes them off, in every process.

Within a second each process forgets the user, has requests and connections of theirs that are under
way prove themselves again, and ends what no longer can.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.principals.memory import INVALIDATION_SUBJECT
from accounts.sessions.liveness import refusal_of
from accounts.sessions.models import Denial, DenialReason
from accounts.supabase import client
from accounts.supabase.answers import TokenState
from accounts.supabase.client import SignOutScope
from gateway_core import cache
from gateway_core.audit.services import record_change

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from accounts.models import User


def deny_session(  # noqa: PLR0913 - what a denial is made of
    *,
    session_id: UUID,
    user_id: UUID,
    by: User | None,
    reason: DenialReason = DenialReason.STAFF,
    until: datetime | None = None,
    note: str = "",
) -> Denial:
    """End one session of a user here, with every token of it there is or will be.

    Args:
        by: who decides; None for the gateway itself.
        until: None for good. Only a session that Supabase has ended as well gets no new tokens:
            for that, ``last_token_ends`` is enough.
    """
    decided = {"reason": reason, "until": until, "note": note}
    return _deny({"user_id": user_id, "session_id": session_id}, decided, by)


def deny_user(
    *,
    user_id: UUID,
    by: User | None,
    reason: DenialReason = DenialReason.STAFF,
    until: datetime | None = None,
    note: str = "",
) -> Denial:
    """Shut a user out of the API, with whatever session or key; the user need not be known here.

    Denials of a user for several reasons stand beside each other.
    """
    decided = {"until": until, "note": note}
    return _deny({"user_id": user_id, "session_id": None, "reason": reason}, decided, by)


def allow(*, denial: Denial, by: User | None) -> bool:
    """Lift a denial; returns whether it was still there."""
    with transaction.atomic():
        lifted, _ = Denial.objects.filter(pk=denial.pk).delete()
        if lifted:
            announce(denial, "allow", by=by)
    return bool(lifted)


def allow_user(*, user_id: UUID, reason: DenialReason, by: User | None) -> bool:
    """Lift the denial of a user for one reason; returns whether there was one."""
    denial = Denial.objects.of_users().filter(user_id=user_id, reason=reason).first()
    return denial is not None and allow(denial=denial, by=by)


def sign_out(*, user: User, session_id: UUID, token: bytes) -> None:
    """End a session at Supabase, then here; one that has ended there already ends here.

    Raises:
        UpstreamError: Supabase does not do it. Then nothing has changed here, and the token is good
            for another attempt.
        TokenRejected, AccountSuspended: Supabase does not take the token.
    """
    state = client.sign_out(token, SignOutScope.LOCAL)
    if state not in {TokenState.GOOD, TokenState.SESSION_ENDED, TokenState.ACCOUNT_GONE}:
        raise refusal_of(state)
    has_ended(user_id=user.pk, session_id=session_id, by=user)


def has_ended(*, user_id: UUID, session_id: UUID, by: User | None) -> Denial:
    """Deny a session that Supabase has ended, for as long as a token of it may live."""
    return deny_session(
        session_id=session_id,
        user_id=user_id,
        reason=DenialReason.SIGNED_OUT,
        until=last_token_ends(),
        by=by,
    )


def last_token_ends() -> datetime:
    """Return when the last token that was issued before now is over for certain."""
    seconds = settings.TOKEN_MAX_LIFETIME_SECONDS + settings.TOKEN_LEEWAY_SECONDS
    return timezone.now() + timedelta(seconds=seconds)


def announce(denial: Denial, verb: str, *, by: User | None) -> None:
    """Record a change of the deny-list, and tell every process when the transaction is through.

    Args:
        verb: deny or allow.
    """
    facts: dict[str, Any] = {"reason": denial.reason, "note": denial.note}
    if denial.until is not None:
        facts["until"] = denial.until.isoformat()
    if denial.session_id is not None:
        facts["session_id"] = str(denial.session_id)
    kind = "session" if denial.session_id else "user"
    resource = f"user:{denial.user_id}"
    record_change(actor=by, action=f"{kind}.{verb}", resource=resource, facts=facts)
    transaction.on_commit(partial(cache.invalidate, INVALIDATION_SUBJECT, str(denial.user_id)))


def _deny(subject: dict[str, Any], decided: dict[str, Any], by: User | None) -> Denial:
    with transaction.atomic():
        Denial.objects.expired().delete()
        denial, _ = Denial.objects.update_or_create(**subject, defaults=decided)
        announce(denial, "deny", by=by)
    return denial
