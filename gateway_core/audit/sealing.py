"""Seals the changes that are in no batch yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import connection, transaction

from gateway_core.audit import chain
from gateway_core.audit.batches import Kind
from gateway_core.audit.keys import PublicKeys, own_public_keys
from gateway_core.audit.leaves import SQL_LEAF
from gateway_core.audit.models import CHANGE, AuditEvent, UnsealedChange
from gateway_core.logging import get_logger

if TYPE_CHECKING:
    from uuid import UUID

_log = get_logger("gateway.audit")
_AT_ONCE: Final = 500
_LEAVES: Final = f"SELECT id, {SQL_LEAF} FROM audit_auditevent WHERE id = ANY(%s) AND batch IS NULL"  # noqa: S608 - names


def seal_changes() -> int:
    """Put the changes that were recorded since the last time into batches; return how many.

    One whose signature is not good is left out, and told of once.
    """
    sealed = 0
    while waiting := _waiting():
        sealed += _seal(waiting)
    return sealed


def is_as_signed(change: UnsealedChange, leaf: bytes | None, keys: PublicKeys) -> bool:
    """Say whether a change says what was signed when it was recorded."""
    if not leaf:
        return False
    try:
        signature = bytes.fromhex(change.signature)
    except ValueError:
        return False
    return keys.verify(change.key_id, signature, CHANGE + leaf)


def unsealed_leaves(ids: list[UUID]) -> dict[UUID, bytes]:
    """Return the leaves of the events that are in no batch."""
    with connection.cursor() as cursor:
        cursor.execute(_LEAVES, [ids])
        return dict(cursor.fetchall())


def _waiting() -> list[UUID]:
    changes = UnsealedChange.objects.filter(is_refused=False).order_by("event_id")
    return list(changes.values_list("event_id", flat=True)[:_AT_ONCE])


def _seal(ids: list[UUID]) -> int:
    with transaction.atomic():
        last = chain.begin()
        changes = list(UnsealedChange.objects.filter(pk__in=ids, is_refused=False))
        leaves = unsealed_leaves([change.event_id for change in changes])
        keys = PublicKeys(own_public_keys())
        good = {
            change.event_id: leaves[change.event_id]
            for change in changes
            if is_as_signed(change, leaves.get(change.event_id), keys)
        }
        _refuse([change for change in changes if change.event_id not in good])
        if good:
            digests = chain.digests_of((str(pk), good[pk]) for pk in sorted(good))
            batch = chain.append(last, kind=Kind.EVENTS, digests=digests)
            AuditEvent.objects.filter(pk__in=good).update(batch=batch.sequence)
            UnsealedChange.objects.filter(pk__in=good).delete()
    return len(good)


def _refuse(changes: list[UnsealedChange]) -> None:
    if changes:
        _log.error("audit events were changed before they were sealed", events=len(changes))
        pks = [change.pk for change in changes]
        UnsealedChange.objects.filter(pk__in=pks).update(is_refused=True)


def adopt() -> int:
    """Seal every event that is in no batch as it is now; return how many.

    For the migration that begins the chain: from then on nothing of what was there changes unseen.
    """
    adopted = 0
    with transaction.atomic(), connection.cursor() as cursor:
        while True:
            last = chain.begin()
            cursor.execute(_ADOPT, [last.sequence + 1, _AT_ONCE])
            leaves = sorted((str(pk), leaf) for pk, leaf in cursor.fetchall())
            if not leaves:
                return adopted
            chain.append(last, kind=Kind.EVENTS, digests=chain.digests_of(leaves))
            adopted += len(leaves)


_ADOPT: Final = f"""
UPDATE audit_auditevent SET batch = %s, salt = gen_random_uuid() WHERE id IN (
    SELECT id FROM audit_auditevent WHERE batch IS NULL ORDER BY id LIMIT %s
) RETURNING id, {SQL_LEAF}
"""  # noqa: S608 - names
