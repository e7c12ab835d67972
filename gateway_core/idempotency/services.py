"""Reserving a key before the work, and writing down how the work ended."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from django.conf import settings
from django.utils import timezone

from gateway_core import crypto
from gateway_core.crypto import SecretUnreadable
from gateway_core.errors import (
    IdempotencyAnswerNotKept,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    IdempotencyOutcomeUnknown,
)
from gateway_core.idempotency.models import IdempotencyRecord, row_of
from gateway_core.idempotency.outcomes import Answer, Failure
from gateway_core.logging import get_logger
from gateway_core.postgresql.away import AWAY

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from gateway_core.idempotency.keys import KeyedRequest

_log = get_logger("gateway.idempotency")
_State = IdempotencyRecord.State
# A row may go between two looks at it. That it does so again and again means a crowd.
_ATTEMPTS: Final = 3
_LONGEST_WAIT_SECONDS: Final = 30.0
_LOOK: Final = "Look whether it was done before you send it again, with a new key."


def reserve(request: KeyedRequest, *, lease_seconds: float) -> UUID | Answer:
    """Take the key for this request, or return the answer of the one that had it before.

    Whoever gets an id does the work, and ends with ``conclude``. The row is committed before this
    returns: don't call it in a transaction.

    Args:
        lease_seconds: how long the work may take before its process is taken to have died.

    Raises:
        IdempotencyKeyReused: the key was sent with another body or query.
        IdempotencyInProgress: the first request has not ended yet.
        IdempotencyOutcomeUnknown: it ended without anybody knowing whether it was done.
        IdempotencyAnswerNotKept: it was done, and its answer is not there.
    """
    for _ in range(_ATTEMPTS):
        now = timezone.now()
        fresh = _begun(request, now, lease_seconds)
        IdempotencyRecord.objects.bulk_create([fresh], ignore_conflicts=True)
        found = IdempotencyRecord.objects.filter(scope=request.scope).first()
        if found is not None and found.pk == fresh.pk:
            return fresh.pk
        if found is not None and found.expires_at > now:
            return _again(found, request, now)
        if found is not None:
            IdempotencyRecord.objects.filter(pk=found.pk).delete()
    raise IdempotencyInProgress(retry_after=1)


def conclude(reservation: UUID, outcome: Answer | Failure) -> None:
    """Write down how the work of a reservation ended.

    Without the database the row stays as it is, and tells of an unknown outcome when its lease is
    over: the answer that the caller gets now does not depend on it.
    """
    row = IdempotencyRecord.objects.filter(pk=reservation)
    try:
        if isinstance(outcome, Failure) and outcome.nothing_done:
            row.delete()
        else:
            row.update(**_ended(reservation, outcome))
    except AWAY as exc:
        _log.error("outcome not kept", reservation=str(reservation), error=str(exc))


def expired() -> QuerySet[IdempotencyRecord]:
    """Return the rows whose time is over."""
    return IdempotencyRecord.objects.filter(expires_at__lte=timezone.now())


def forget_user(user_id: UUID) -> int:
    """Delete everything kept for a user; return how many rows."""
    return IdempotencyRecord.objects.filter(user_id=user_id).delete()[0]


def _begun(request: KeyedRequest, now: datetime, lease_seconds: float) -> IdempotencyRecord:
    return IdempotencyRecord(
        id=uuid4(),
        user_id=request.user_id,
        key=request.key,
        route=request.route,
        scope=request.scope,
        fingerprint=request.fingerprint,
        created_at=now,
        lease_until=now + timedelta(seconds=lease_seconds),
        expires_at=now + timedelta(seconds=settings.IDEMPOTENCY_TTL_SECONDS),
    )


def _ended(reservation: UUID, outcome: Answer | Failure) -> dict[str, Any]:
    if isinstance(outcome, Failure):
        return {"state": _State.UNKNOWN, "status": outcome.status, "code": outcome.code}
    if outcome.body is None or len(outcome.body) > settings.IDEMPOTENCY_MAX_BYTES:
        return {"state": _State.ANSWER_NOT_KEPT, "status": outcome.status}
    encrypted = crypto.encrypt(outcome.encode(), row_of(reservation))
    return {"state": _State.ANSWERED, "status": outcome.status, "encrypted_answer": encrypted}


def _again(found: IdempotencyRecord, request: KeyedRequest, now: datetime) -> Answer:
    """Return or raise what a request gets whose key has been sent before."""
    if found.fingerprint != request.fingerprint:
        raise IdempotencyKeyReused
    if found.state == _State.ANSWERED:
        return _decrypted(found)
    if found.state == _State.ANSWER_NOT_KEPT:
        raise _not_kept(found)
    if found.state == _State.UNKNOWN:
        raise IdempotencyOutcomeUnknown(
            f"The first request with this Idempotency-Key ended with {found.code} "
            f"({found.status}), and nobody knows what was done by then. {_LOOK}"
        )
    if found.lease_until <= now:
        raise IdempotencyOutcomeUnknown(
            "The first request with this Idempotency-Key broke off without an answer, and nobody "
            f"knows what was done by then. {_LOOK}"
        )
    # As long as it has taken so far: seldom too often, never much too late.
    age = (now - found.created_at).total_seconds()
    raise IdempotencyInProgress(retry_after=min(max(age, 1.0), _LONGEST_WAIT_SECONDS))


def _decrypted(found: IdempotencyRecord) -> Answer:
    try:
        text = crypto.decrypt(found.encrypted_answer, row_of(found.pk))
    except SecretUnreadable as exc:
        _log.error("kept answer unreadable", reservation=str(found.pk), reason=exc.reason)
        raise _not_kept(found) from exc
    return Answer.decode(found.status or 200, text)


def _not_kept(found: IdempotencyRecord) -> IdempotencyAnswerNotKept:
    return IdempotencyAnswerNotKept(
        f"The request with this Idempotency-Key was carried out (status {found.status}), and its "
        "answer can't be given again. Don't send it again: look at what it has made."
    )
