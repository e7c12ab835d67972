"""The writers' side of the chain: one at a time, each adding one signed batch to its end.

What is stored without a batch (a change, in its caller's transaction, which must not wait for other
writers) is signed by itself and sealed by the next round of a shipper.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from gateway_core.audit.batches import FIRST_PREVIOUS, Batch, Head, Kind
from gateway_core.audit.keys import signer
from gateway_core.audit.leaves import month_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Digests = dict[str, dict[str, Any]]

_LOCK: Final = int.from_bytes(hashlib.sha256(b"gateway:audit chain").digest()[:8], signed=True)
_LAST: Final = "SELECT sequence, hash FROM audit_auditbatch ORDER BY sequence DESC LIMIT 1"
_INSERT: Final = """
INSERT INTO audit_auditbatch
    (sequence, kind, at, events, digests, notes, previous, key_id, hash, signature)
VALUES (%s, %s, %s, %s, %s::text::jsonb, %s::text::jsonb, %s, %s, %s, %s)
"""


def head() -> Head | None:
    """Return where the chain ends now; None when there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST)
        row = cursor.fetchone()
    return Head(*row) if row else None


def begin() -> Head:
    """Wait for the turn to write, until the transaction ends; return where the chain ends.

    Whoever takes other locks takes this one first.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    return head() or Head(0, FIRST_PREVIOUS)


def append(
    last: Head, *, kind: Kind, digests: Digests, notes: Mapping[str, Any] | None = None
) -> Batch:
    """Add a batch after the one that ``begin`` has returned."""
    at = datetime.now(UTC)
    batch = Batch(
        sequence=last.sequence + 1,
        kind=kind,
        at=text_of(at),
        events=sum(one["events"] for one in digests.values()),
        digests=digests,
        notes=notes or {},
        previous=last.hash,
        key_id=signer().key_id,
    ).signed(signer())
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, _columns(batch, at))
    return batch


def digests_of(leaves: Iterable[tuple[str, bytes]]) -> Digests:
    """Return the digests of a batch.

    Args:
        leaves: id and leaf of each event, in order of the ids.
    """
    hashes: dict[str, Any] = defaultdict(hashlib.sha256)
    counts: dict[str, int] = defaultdict(int)
    for event_id, leaf in leaves:
        month = month_of(event_id)
        hashes[month].update(leaf)
        counts[month] += 1
    return {
        month: {"events": counts[month], "digest": hashes[month].hexdigest()} for month in counts
    }


def _columns(batch: Batch, at: datetime) -> list[Any]:
    return [
        *(batch.sequence, batch.kind, at, batch.events, json.dumps(batch.digests)),
        *(json.dumps(batch.notes), batch.previous, batch.key_id, batch.hash, batch.signature),
    ]
