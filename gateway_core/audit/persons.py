"""What the audit trail holds of one person: told, and put under a pseudonym."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db import connection
from django.utils.crypto import salted_hmac

from gateway_core.audit.models import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH: Final = 500
_PURPOSE: Final = "audit pseudonym"
_UUID_BYTES: Final = 16
# An event may be about somebody who did not make it, so the id is looked for wherever it may be.
_RENAME: Final = """
UPDATE audit_auditevent SET
    user_id = CASE WHEN user_id = %(user)s::uuid THEN %(pseudonym)s::uuid ELSE user_id END,
    user_email = CASE WHEN user_id = %(user)s::uuid THEN '' ELSE user_email END,
    client_ip = CASE WHEN user_id = %(user)s::uuid THEN '' ELSE client_ip END,
    path = replace(path, %(user)s, %(pseudonym)s),
    resource = replace(resource, %(user)s, %(pseudonym)s),
    facts = replace(facts::text, %(user)s, %(pseudonym)s)::jsonb
WHERE id = ANY(%(ids)s)
"""


def pseudonym_of(user_id: UUID) -> UUID:
    """Return what stands for a user who was erased: the same each time, and not to be undone."""
    digest = salted_hmac(_PURPOSE, str(user_id), algorithm="sha256").digest()
    return UUID(bytes=digest[:_UUID_BYTES], version=5)


def events_of(user_id: UUID) -> Iterator[AuditEvent]:
    """Yield the events of a user, the oldest first."""
    return AuditEvent.objects.filter(user_id=user_id).order_by("id").iterator(chunk_size=_BATCH)


def rename(user_id: UUID) -> int:
    """Put a user's pseudonym wherever the trail names them; return the number of events."""
    names = {"user": str(user_id), "pseudonym": str(pseudonym_of(user_id))}
    ids = list(AuditEvent.objects.filter(user_id=user_id).values_list("pk", flat=True)) + list(
        AuditEvent.objects.filter(resource__contains=str(user_id))
        .exclude(user_id=user_id)
        .values_list("pk", flat=True)
    )
    for start in range(0, len(ids), _BATCH):
        with connection.cursor() as cursor:
            cursor.execute(_RENAME, {**names, "ids": ids[start : start + _BATCH]})
    return len(ids)
