from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, transaction

from gateway_core.audit import months
from gateway_core.audit.events import new_id
from gateway_core.audit.leaves import SQL_MONTH, month_of
from gateway_core.audit.models import AuditBatch, AuditEvent
from gateway_core.audit.months import (
    DEFAULT,
    Month,
    MonthInUse,
    existing,
    make_ahead,
    past_retention,
)
from gateway_core.audit.persons import rename_by_parts
from gateway_core.audit.shipper import Shipper
from tests.gateway_core.audit.trails import ALICE, execute, faults, store, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway_core.audit.spool import Spool

_OLD = datetime(2024, 2, 29, 23, 59, 59, 999_000, tzinfo=UTC)
_FEBRUARY = Month(2024, 2)


def _table_of(month: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT tableoid::regclass::text FROM audit_auditevent "  # noqa: S608
            f"WHERE {SQL_MONTH} = %s",
            [month],
        )
        return {name for (name,) in cursor.fetchall()}


@pytest.mark.django_db
def test_keeps_new_events_in_the_partition_of_their_month() -> None:
    store(2)

    month = Month.of(datetime.now(UTC))
    assert _table_of(str(month)) == {month.partition}


@pytest.mark.django_db
def test_has_the_next_months_ready() -> None:
    now = Month.of(datetime.now(UTC))

    assert {now, now.next, now.next.next} <= set(existing())


@pytest.mark.django_db
def test_moves_events_out_of_the_default_partition_when_their_month_is_made() -> None:
    store(3, at=_OLD)
    store(1, at=_OLD + timedelta(milliseconds=1))
    assert _table_of("2024-02") == {DEFAULT}

    assert make_ahead(_OLD) == [Month(2024, 2), Month(2024, 3), Month(2024, 4)]
    assert make_ahead(_OLD) == []

    assert _table_of("2024-02") == {"audit_auditevent_2024_02"}
    assert _table_of("2024-03") == {"audit_auditevent_2024_03"}
    assert "4 events in 2 batches" in verify()


@pytest.mark.django_db
def test_postgres_and_we_agree_about_months() -> None:
    ids = [new_id(_OLD), new_id(_OLD + timedelta(milliseconds=1)), "f" * 32, "0" * 32]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, {SQL_MONTH} FROM unnest(%s::uuid[]) AS id", [ids])  # noqa: S608
        rows = cursor.fetchall()

    assert [month for _, month in rows] == ["2024-02", "2024-03", "9999-12", "1970-01"]
    assert all(month_of(str(event_id)) == month for event_id, month in rows)


@pytest.mark.django_db
def test_stays_good_when_a_month_is_dropped() -> None:
    store(3, at=_OLD)
    store(2)
    make_ahead(_OLD)
    rename_somebody()

    months.drop(_FEBRUARY)

    assert _FEBRUARY not in existing()
    assert AuditEvent.objects.count() == 2
    assert AuditBatch.objects.latest("sequence").notes["month"] == "2024-02"
    assert "2 events in 3 batches" in verify()


def rename_somebody() -> None:
    assert sum(rename_by_parts(UUID(ALICE))) == 5


@pytest.fixture
def shortened() -> None:
    """A chain that begins with its third batch, since the two before had nothing but a month."""
    store(1, 2, at=_OLD)
    store(2)
    store(1, at=_OLD)
    make_ahead(_OLD)
    months.drop(_FEBRUARY)
    assert AuditEvent.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("shortened")
def test_forgets_the_batches_that_have_nothing_left() -> None:
    sequences = AuditBatch.objects.order_by("sequence").values_list("sequence", flat=True)
    assert list(sequences) == [3, 4, 5]
    assert AuditBatch.objects.get(pk=5).notes["first"] == 3
    assert "2 events in 3 batches" in verify()

    store(1)
    assert "3 events in 4 batches" in verify()


@pytest.mark.django_db
@pytest.mark.usefixtures("shortened")
def test_finds_that_more_of_the_beginning_was_cut_off_than_was_said() -> None:
    execute("DELETE FROM audit_auditevent WHERE batch = 3")
    execute("DELETE FROM audit_auditbatch WHERE sequence = 3")

    assert "batch 3 is missing" in faults()


@pytest.mark.django_db
@pytest.mark.usefixtures("shortened")
@pytest.mark.parametrize("batch", [1, 2])
def test_finds_an_event_in_a_batch_that_was_forgotten(batch: int) -> None:
    AuditEvent.objects.create(at=_OLD, plane="data", action="x", batch=batch)

    assert f"in batch {batch}, which there is not" in faults()


@pytest.mark.django_db
def test_forgets_no_batch_whose_events_were_deleted() -> None:
    store(2)
    store(2, at=_OLD)
    make_ahead(_OLD)
    execute("DELETE FROM audit_auditevent WHERE batch = 1")

    months.drop(_FEBRUARY)

    assert "all events of batch 1" in faults()


@pytest.mark.django_db
def test_forgets_no_batch_of_late_events() -> None:
    store(1, at=_OLD)
    months.drop(_FEBRUARY)
    store(1, at=_OLD)

    months.drop(Month(2024, 1))

    assert "1 events in 2 batches" in verify()


@pytest.mark.django_db
def test_begins_anew_when_everything_was_dropped() -> None:
    store(2, at=_OLD)
    make_ahead(_OLD)
    months.drop(_FEBRUARY)
    assert "0 events in 1 batches" in verify()

    store(1)
    assert "1 events in 2 batches" in verify()


@pytest.mark.django_db
def test_is_good_while_batches_are_being_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(months, "_forget_batches", lambda _first: None)
    store(1, 2, at=_OLD)
    store(2)
    months.drop(_FEBRUARY)
    assert "2 events in 4 batches" in verify()

    execute("DELETE FROM audit_auditbatch WHERE sequence = 1")
    assert "2 events in 3 batches" in verify()


@pytest.mark.django_db
def test_finds_that_a_months_rows_were_deleted_and_not_dropped() -> None:
    store(3, at=_OLD)
    store(2)
    make_ahead(_OLD)
    execute("DELETE FROM audit_auditevent_2024_02")

    assert "2024-02: all events of batch 1" in faults()


@pytest.mark.django_db
def test_finds_that_events_were_deleted_which_came_after_their_month_was_dropped() -> None:
    store(3, at=_OLD)
    months.drop(_FEBRUARY)
    store(1, at=_OLD)
    assert "good" in verify()

    AuditEvent.objects.all().delete()

    assert "2024-02: all events of batch 3" in faults()


@pytest.mark.django_db
def test_drops_late_events_of_a_month_that_is_gone_already() -> None:
    store(3, at=_OLD)
    make_ahead(_OLD)
    months.drop(_FEBRUARY)
    store(1, at=_OLD)

    assert _FEBRUARY in past_retention(datetime.now(UTC), 30)
    months.drop(_FEBRUARY)

    assert _FEBRUARY not in past_retention(datetime.now(UTC), 30)
    assert not AuditEvent.objects.exists()
    assert "good" in verify()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("now", "days", "is_past"),
    [
        (datetime(2024, 3, 31, 23, 59, tzinfo=UTC), 31, False),
        (datetime(2024, 4, 1, tzinfo=UTC), 31, True),
        (datetime(2030, 1, 1, tzinfo=UTC), 0, False),
    ],
)
def test_a_month_is_past_retention_when_all_of_it_is(
    now: datetime, days: int, *, is_past: bool
) -> None:
    make_ahead(_OLD)

    assert (_FEBRUARY in past_retention(now, days)) is is_past


@pytest.fixture
def reader(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url) as reading:
        yield reading


def test_gives_up_when_somebody_reads_for_long_and_leaves_all_as_it_was(
    reader: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(months, "_LOCK_TIMEOUT", "50ms")
    store(1, at=_OLD)
    make_ahead(_OLD)
    reader.execute("SELECT count(*) FROM audit_auditevent")

    with pytest.raises(MonthInUse):
        months.drop(_FEBRUARY)

    assert _FEBRUARY in existing()
    assert "1 events in 1 batches" in verify()
    reader.rollback()
    months.drop(_FEBRUARY)
    assert "good" in verify()
    for month in (Month(2024, 3), Month(2024, 4)):
        months.drop(month)


@pytest.mark.django_db(transaction=True)
def test_makes_months_while_others_write() -> None:
    began, done = threading.Event(), threading.Event()

    def write_elsewhere() -> None:
        with transaction.atomic():
            AuditEvent.objects.create(at=_OLD, plane="data", action="x")
            began.set()
            done.wait(10)
        connection.close()

    other = threading.Thread(target=write_elsewhere)
    other.start()
    assert began.wait(10)
    try:
        assert make_ahead(datetime(2031, 1, 1, tzinfo=UTC))
    finally:
        done.set()
        other.join()
    for month in (Month(2031, 1), Month(2031, 2), Month(2031, 3)):
        months.drop(month)


def test_shipper_makes_the_months_to_come(
    spool: Spool, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del transactional_db
    asked: list[datetime] = []
    monkeypatch.setattr(months, "make_ahead", asked.append)
    now = [0.0]
    shipper = Shipper(spool, interval_seconds=0.01, clock=lambda: now[0])
    shipper.start()
    for seconds in (0, 3599, 3601):
        now[0] = seconds
        assert shipper.flush(30)
    shipper.stop(30)

    assert len(asked) == 2


@pytest.mark.django_db(transaction=True)
def test_migration_moves_and_seals_what_is_there_and_goes_back() -> None:
    store(2, at=_OLD)
    store(3)
    ids = set(AuditEvent.objects.values_list("pk", flat=True))
    try:
        call_command("migrate", "audit", "0001", verbosity=0)
        assert _ids_in("audit_auditevent") == ids
        with connection.cursor() as cursor:
            cursor.execute("SELECT relkind FROM pg_class WHERE relname = 'audit_auditevent'")
            assert cursor.fetchone()[0] == "r"
    finally:
        call_command("migrate", "audit", verbosity=0)

    assert _ids_in("audit_auditevent") == ids
    assert _table_of("2024-02") == {"audit_auditevent_2024_02"}
    assert "5 events in 1 batches" in verify()
    execute("UPDATE audit_auditevent_2024_02 SET path = 'x'")
    assert faults()
    months.drop(_FEBRUARY)


def _ids_in(table: str) -> set[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table}")  # noqa: S608
        return {event_id for (event_id,) in cursor.fetchall()}


@pytest.mark.django_db(transaction=True)
def test_flush_empties_every_partition() -> None:
    store(1, at=_OLD)
    store(1)
    call_command("flush", interactive=False, verbosity=0, reset_sequences=False)

    assert not AuditEvent.objects.exists()
