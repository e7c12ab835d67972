"""The chain as it is in the database: its batches, and what they have sealed."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction

from gateway_core.audit.batches import Batch
from gateway_core.audit.leaves import FIELDS, content_of, sql_text, utc_text
from gateway_core.audit.models import UnsealedChange
from gateway_core.audit.sealing import is_as_signed, unsealed_leaves
from gateway_core.audit.verifying import Sealed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from gateway_core.audit.keys import PublicKeys

# Read at once, which bounds the memory.
_BATCHES: Final = 200
_EVENTS: Final = 5000

_BATCH_COLUMNS: Final = (
    f"sequence, kind, {utc_text('at')}, events, digests::text, notes::text, previous, key_id, "
    "hash, signature"
)
_EVENT_COLUMNS: Final = ", ".join(
    ("batch", "uuid_send(salt)", "replaces", *(sql_text(name) for name in FIELDS))
)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event, with what the batch's proof of it needs.

    Attributes:
        batch: sequence of the batch.
        fields: the texts of ``leaves.FIELDS``.
        is_wanted: by the filter of an export.
    """

    batch: int
    fields: tuple[str | None, ...]
    salt: bytes
    replaces: bytes
    is_wanted: bool = True

    @property
    def event_id(self) -> str:
        """The id."""
        return self.fields[0] or ""

    def sealed(self) -> Sealed:
        """Return what was sealed of it."""
        return Sealed(self.event_id, content_of(self.fields, self.salt), self.replaces)


@dataclass(frozen=True, slots=True)
class StoredHashes:
    """What is left of what an event once said."""

    batch: int
    event_id: str
    content: bytes
    replaces: bytes

    def sealed(self) -> Sealed:
        """Return what was sealed of it."""
        return Sealed(self.event_id, self.content, self.replaces, is_withdrawn=True)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events an export wants: a condition in SQL, with its parameters."""

    condition: str = "true"
    parameters: tuple[Any, ...] = ()


EVERYTHING: Final = Filter()
_in_order = attrgetter("batch", "event_id")


@contextmanager
def snapshot() -> Iterator[None]:
    """See the database as it is now until the end of the block, whatever others write."""
    is_ours = not connection.in_atomic_block
    with transaction.atomic():
        if is_ours:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def count_events() -> int:
    """Return how many events the batches have sealed, roughly, for people to wait by."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(events), 0) FROM audit_auditbatch")
        return int(cursor.fetchone()[0])


def first_batch_since(at: datetime) -> int | None:
    """Return the sequence of the first batch of that time or later."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(sequence) FROM audit_auditbatch WHERE at >= %s", [at])
        found: int | None = cursor.fetchone()[0]
        return found


def first_batch() -> int | None:
    """Return the sequence of the first batch that is left."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(sequence) FROM audit_auditbatch")
        found: int | None = cursor.fetchone()[0]
        return found


def batches(*, first: int | None = None) -> Iterator[list[Batch]]:
    """Yield all batches, or those from a sequence on, in parts that fit into the memory."""
    condition, parameters = ("sequence >= %s", [first]) if first is not None else ("true", [])
    while found := _batches(f"WHERE {condition}", parameters):
        yield from _in_parts(found)
        condition, parameters = "sequence > %s", [found[-1].sequence]


def batches_with(wanted: Filter) -> Iterator[list[Batch]]:
    """Yield the batches that have events which the filter wants, and the last of all, likewise."""
    last = None
    with connection.chunked_cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT batch FROM audit_auditevent "  # noqa: S608 - names
            f"WHERE batch IS NOT NULL AND {wanted.condition} ORDER BY batch",
            wanted.parameters,
        )
        while rows := cursor.fetchmany(_BATCHES):
            sequences = [sequence for (sequence,) in rows]
            yield from _in_parts(_batches("WHERE sequence = ANY(%s)", [sequences]))
            last = sequences[-1]
    end = _batches("WHERE sequence = (SELECT max(sequence) FROM audit_auditbatch)", [])
    if end and end[0].sequence != last:
        yield end


def sealed_by(
    found: Sequence[Batch], wanted: Filter = EVERYTHING
) -> Iterator[StoredEvent | StoredHashes]:
    """Yield what these batches have sealed, in order of batches and ids."""
    sequences = [batch.sequence for batch in found]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {wanted.condition}, {_EVENT_COLUMNS} FROM audit_auditevent "  # noqa: S608 - names
            "WHERE batch = ANY(%s) ORDER BY batch, id",
            [*wanted.parameters, sequences],
        )
        events = [
            StoredEvent(batch, tuple(fields), salt or b"", replaces, bool(is_wanted))
            for is_wanted, batch, salt, replaces, *fields in cursor.fetchall()
        ]
        cursor.execute(
            "SELECT batch, event_id::text, content, replaces FROM audit_withdrawnstate "
            "WHERE batch = ANY(%s) ORDER BY batch, event_id",
            [sequences],
        )
        hashes = [StoredHashes(*row) for row in cursor.fetchall()]
    return merge(events, hashes, key=_in_order)


def loose_ends(keys: PublicKeys) -> Iterator[str]:
    """Say what is in the tables and in no batch, and should be in one."""
    with connection.cursor() as cursor:
        for table, what in (("audit_auditevent", "id"), ("audit_withdrawnstate", "event_id")):
            cursor.execute(
                f"SELECT {what}, batch FROM {table} WHERE batch "  # noqa: S608 - names
                "< (SELECT coalesce(min(sequence), 1) FROM audit_auditbatch) OR batch "
                "> (SELECT coalesce(max(sequence), 0) FROM audit_auditbatch) ORDER BY 1"
            )
            for event_id, batch in cursor.fetchall():
                yield f"event {event_id} is in batch {batch}, which there is not"
        cursor.execute("SELECT id FROM audit_auditevent WHERE batch IS NULL ORDER BY id")
        unsealed = {event_id for (event_id,) in cursor.fetchall()}
    changes = {change.event_id: change for change in UnsealedChange.objects.order_by("event_id")}
    leaves = unsealed_leaves(list(unsealed | set(changes)))
    for event_id in sorted(unsealed | set(changes)):
        change = changes.get(event_id)
        if change is None:
            yield f"event {event_id} is in no batch and was not recorded by the gateway"
        elif event_id not in unsealed:
            yield f"event {event_id} was recorded and is gone"
        elif not is_as_signed(change, leaves.get(event_id), keys):
            yield f"event {event_id} is in no batch yet and was changed"


def _batches(condition: str, parameters: Sequence[Any]) -> list[Batch]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_BATCH_COLUMNS} FROM audit_auditbatch {condition} "  # noqa: S608 - names
            f"ORDER BY sequence LIMIT {_BATCHES}",
            parameters,
        )
        return [_batch(*row) for row in cursor.fetchall()]


def _batch(  # noqa: PLR0913, PLR0917 - a row
    sequence: int,
    kind: str,
    at: str,
    events: int,
    digests: str,
    notes: str,
    previous: str,
    key_id: str,
    digest: str,
    signature: str,
) -> Batch:
    return Batch(
        sequence=sequence,
        kind=kind,
        at=at,
        events=events,
        digests=_object(digests),
        notes=_object(notes),
        previous=previous,
        key_id=key_id,
        hash=digest,
        signature=signature,
    )


def _object(text: str) -> dict[str, Any]:
    """Return an object, also where somebody has put something else."""
    value = json.loads(text)
    return value if isinstance(value, dict) else {"": value}


def _in_parts(found: Sequence[Batch]) -> Iterator[list[Batch]]:
    part: list[Batch] = []
    events = 0
    for batch in found:
        if part and events + batch.events > _EVENTS:
            yield part
            part, events = [], 0
        part.append(batch)
        events += batch.events
    if part:
        yield part
