"""The months that events are partitioned by: made ahead, and dropped when they are past retention.

Events belong to the month of their id (UUID version 7). What has no partition falls into the
default one, and is moved when its month is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

from django.db import connection, transaction
from django.db.utils import OperationalError

from gateway_core.audit import chain
from gateway_core.audit.batches import Kind
from gateway_core.audit.leaves import SQL_MONTH
from gateway_core.errors import InternalError

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

_TABLE: Final = "audit_auditevent"
DEFAULT: Final = f"{_TABLE}_default"
_PARTITION: Final = re.compile(rf"{_TABLE}_(\d{{4}})_(\d\d)").fullmatch
# So many months exist beyond the present one.
_AHEAD: Final = 2
_DECEMBER: Final = 12
_BATCHES_AT_ONCE: Final = 10_000
# Others wait behind us while we wait for a lock on the whole table.
_LOCK_TIMEOUT: Final = "2s"


class MonthInUse(InternalError):
    """A month can't be dropped while somebody reads the audit trail for long."""

    detail = "A month of the audit trail is in use. Try again when nobody exports or verifies it."


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, at: datetime) -> Self:
        """Return the month of a time."""
        at = at.astimezone(UTC)
        return cls(at.year, at.month)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2026-11``."""
        year, number = text.split("-")
        return cls(int(year), int(number))

    @property
    def next(self) -> Month:
        """The month after it."""
        is_last = self.number == _DECEMBER
        return Month(self.year + is_last, 1 if is_last else self.number + 1)

    @property
    def begins(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def partition(self) -> str:
        """The name of its table."""
        return f"{_TABLE}_{self.year:04}_{self.number:02}"

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


def first_id(at: datetime) -> str:
    """Return the lowest id of an event of that time or later."""
    milliseconds = max(0, int(at.timestamp() * 1000))  # no id is of a time before 1970
    return f"{milliseconds:012x}{0:020x}"


def existing() -> list[Month]:
    """Return the months that have a partition, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
            "WHERE inhparent = %s::regclass",
            [_TABLE],
        )
        names = [name for (name,) in cursor.fetchall()]
    found = filter(None, map(_PARTITION, names))
    return sorted(Month(int(match[1]), int(match[2])) for match in found)


def make_ahead(now: datetime) -> list[Month]:
    """Make the partitions of this month and the next ones where they are missing; return those."""
    wanted = [Month.of(now)]
    for _ in range(_AHEAD):
        wanted.append(wanted[-1].next)
    missing = sorted(set(wanted) - set(existing()))
    for month in missing:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            chain.begin()
            if month not in existing():
                make(cursor, month)
    return missing


def make(cursor: CursorWrapper, month: Month) -> None:
    """Make a month's partition, with what the default one has of it."""
    bounds = (first_id(month.begins), first_id(month.next.begins))
    name = month.partition
    cursor.execute(f"CREATE TABLE {name} (LIKE {_TABLE} INCLUDING ALL)")
    cursor.execute(
        f"WITH moved AS (DELETE FROM {DEFAULT} WHERE id >= %s AND id < %s RETURNING *) "  # noqa: S608 - names
        f"INSERT INTO {name} SELECT * FROM moved",
        bounds,
    )
    # Unlike PARTITION OF, this lets others read and write the table.
    cursor.execute(
        f"ALTER TABLE {_TABLE} ATTACH PARTITION {name} "
        f"FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')"
    )


def past_retention(now: datetime, days: int) -> list[Month]:
    """Return the months that have ended so many days ago or earlier; 0 days: none."""
    if not days:
        return []
    end = Month.of(now - timedelta(days=days))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT {SQL_MONTH} FROM {DEFAULT} WHERE id < %s",  # noqa: S608 - names
            [first_id(end.begins)],
        )
        late = {Month.parse(text) for (text,) in cursor.fetchall()}
    return sorted({month for month in existing() if month < end} | late)


def drop(month: Month) -> None:
    """Throw a month away and say so in the chain. Others wait for two seconds at the most.

    The batches from before the first one that has something left go with it: the chain says where
    it begins from now on.

    Raises:
        MonthInUse: somebody has been reading for longer than that.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            last = chain.begin()
            _drop(cursor, month)
            first, previous = _first_kept(cursor, month) or (last.sequence + 1, last.hash)
            notes = {"month": str(month), "first": first, "previous": previous}
            chain.append(last, kind=Kind.RETENTION, digests={}, notes=notes)
    except OperationalError as exc:
        raise MonthInUse from exc
    _forget_batches(first)


def _drop(cursor: CursorWrapper, month: Month) -> None:
    # Not CONCURRENTLY, which a table with a default partition can't; it takes a moment.
    if month in existing():
        cursor.execute(f"ALTER TABLE {_TABLE} DETACH PARTITION {month.partition}")
        cursor.execute(f"DROP TABLE {month.partition}")
    bounds = [first_id(month.begins), first_id(month.next.begins)]
    for table, column in (
        (DEFAULT, "id"),
        ("audit_withdrawnstate", "event_id"),
        ("audit_unsealedchange", "event_id"),
    ):
        cursor.execute(
            f"DELETE FROM {table} WHERE {column} >= %s AND {column} < %s",  # noqa: S608 - names
            bounds,
        )


def _first_kept(cursor: CursorWrapper, month: Month) -> tuple[int, str] | None:
    """Return the first batch with a month that was not dropped after it, and the hash before it.

    Whether its events are still there does not matter: what was deleted is to be missed.
    """
    cursor.execute(_FIRST_KEPT, [str(month)])
    row: tuple[int, str] | None = cursor.fetchone()
    return row


_FIRST_KEPT: Final = """
WITH dropped AS MATERIALIZED (
    SELECT notes->>'month' AS month, max(sequence) AS sequence
    FROM audit_auditbatch WHERE kind = 'retention' GROUP BY 1
)
SELECT sequence, previous FROM audit_auditbatch AS batch
WHERE EXISTS (
    SELECT FROM jsonb_object_keys(digests) AS of_batch (month) WHERE of_batch.month <> %s
    AND NOT EXISTS (
        SELECT FROM dropped
        WHERE dropped.month = of_batch.month AND dropped.sequence > batch.sequence
    )
)
ORDER BY sequence LIMIT 1
"""


def _forget_batches(first: int) -> None:
    """Delete the batches before the one that the chain begins with."""
    deleted = 1
    while deleted:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM audit_auditbatch WHERE sequence IN (SELECT sequence "
                "FROM audit_auditbatch WHERE sequence < %s ORDER BY sequence LIMIT %s)",
                [first, _BATCHES_AT_ONCE],
            )
            deleted = cursor.rowcount
