"""What the audit trail holds of one person: told, and put under a pseudonym."""

from __future__ import annotations

from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast, Concat
from django.utils.crypto import salted_hmac

from gateway_core.audit import chain
from gateway_core.audit.batches import Kind
from gateway_core.audit.leaves import SQL_CONTENT, SQL_LEAF
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.sealing import seal_changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

_BATCH: Final = 500
# Events that are searched at once, in a fraction of a second.
_RANGE: Final = 20_000
_PURPOSE: Final = "audit pseudonym"
_UUID_BYTES: Final = 16


# An event may be about somebody who did not make it, and a caller may write an id in small letters
# or large ones, with dashes or without, so it is looked for wherever and however it may be.
def _sql_replaced(text: str) -> str:
    dashed = f"regexp_replace({text}, %(user)s, %(pseudonym)s, 'gi')"
    return f"regexp_replace({dashed}, %(user_hex)s, %(pseudonym_hex)s, 'gi')"


_RENAME: Final = f"""
WITH before AS (
    SELECT id, batch, {SQL_CONTENT} AS content, {SQL_LEAF} AS leaf, replaces
    FROM audit_auditevent WHERE id = ANY(%(ids)s) FOR UPDATE
), withdrawn AS (
    INSERT INTO audit_withdrawnstate (event_id, batch, content, replaces)
    SELECT id, batch, content, replaces FROM before WHERE batch IS NOT NULL
)
UPDATE audit_auditevent AS event SET
    user_id = CASE WHEN user_id = %(user)s::uuid THEN %(pseudonym)s::uuid ELSE user_id END,
    user_email = CASE WHEN user_id = %(user)s::uuid THEN '' ELSE user_email END,
    client_ip = CASE WHEN user_id = %(user)s::uuid THEN '' ELSE client_ip END,
    path = {_sql_replaced("path")},
    resource = {_sql_replaced("resource")},
    request_id = {_sql_replaced("request_id")},
    trace_id = {_sql_replaced("trace_id")},
    facts = {_sql_replaced("facts::text")}::jsonb,
    batch = CASE WHEN event.batch IS NULL THEN NULL ELSE %(batch)s END,
    salt = gen_random_uuid(),
    replaces = coalesce(before.leaf, ''::bytea)
FROM before WHERE event.id = before.id
RETURNING event.id, event.batch
"""  # noqa: S608 - names
_LEAVES: Final = f"SELECT id, {SQL_LEAF} FROM audit_auditevent WHERE id = ANY(%s) ORDER BY id"  # noqa: S608 - names


def pseudonym_of(user_id: UUID) -> UUID:
    """Return what stands for a user who was erased: the same each time, and not to be undone."""
    digest = salted_hmac(_PURPOSE, str(user_id), algorithm="sha256").digest()
    return UUID(bytes=digest[:_UUID_BYTES], version=5)


def events_of(user_id: UUID) -> Iterator[AuditEvent]:
    """Yield what a user did and the changes that others made to them, the oldest first.

    Not what else names them: anybody can write anybody's id into a path or a request id, and what
    they were doing there is theirs.
    """
    own = AuditEvent.objects.filter(user_id=user_id)
    changes = AuditEvent.objects.filter(resource=f"user:{user_id}", status=None)
    by_index = (own, changes.exclude(user_id=user_id))
    found = (events.order_by("at").iterator(chunk_size=_BATCH) for events in by_index)
    return merge(*found, key=attrgetter("at"))


def count_events(user_id: UUID) -> int:
    """Return how many events name a user."""
    return sum(_naming(user_id, events).count() for events in _ranges())


def rename_by_parts(user_id: UUID) -> Iterator[int]:
    """Put a user's pseudonym wherever the trail names them; yield now and then in how many events.

    What the events said is forgotten, with the salts of its hashes. A batch says what they say now.
    The whole trail is searched, which may take minutes.
    """
    for events in _ranges():
        ids = list(_naming(user_id, events).values_list("pk", flat=True))
        # A change's own signature is good for what it says now.
        if ids:
            seal_changes()
        for start in range(0, len(ids), _BATCH):
            _rename(user_id, ids[start : start + _BATCH])
        yield len(ids)


def _ranges() -> Iterator[QuerySet[AuditEvent]]:
    """Yield all events, so many at a time, in the order of their ids."""
    rest = AuditEvent.objects.order_by("pk")
    while last := rest.values_list("pk", flat=True)[_RANGE - 1 : _RANGE].first():
        yield rest.filter(pk__lte=last)
        rest = AuditEvent.objects.order_by("pk").filter(pk__gt=last)
    yield rest


def _naming(user_id: UUID, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    said = ("path", "resource", "request_id", "trace_id", Cast("facts", TextField()))
    texts = Concat(*said, output_field=TextField())
    named = Q(texts__iregex=f"{user_id}|{user_id.hex}")
    return events.alias(texts=texts).filter(Q(user_id=user_id) | named)


def _rename(user_id: UUID, ids: list[UUID]) -> None:
    pseudonym = pseudonym_of(user_id)
    names = {
        "user": str(user_id),
        "user_hex": user_id.hex,
        "pseudonym": str(pseudonym),
        "pseudonym_hex": pseudonym.hex,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        last = chain.begin()
        cursor.execute(_RENAME, {**names, "ids": ids, "batch": last.sequence + 1})
        sealed = [pk for pk, batch in cursor.fetchall() if batch is not None]
        if sealed:
            cursor.execute(_LEAVES, [sealed])
            digests = chain.digests_of((str(pk), leaf) for pk, leaf in cursor.fetchall())
            chain.append(last, kind=Kind.ERASURE, digests=digests)
