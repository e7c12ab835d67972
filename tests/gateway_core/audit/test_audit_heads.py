from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from gateway_core.audit import chain, heads
from gateway_core.audit.batches import Head
from gateway_core.audit.heads import Heads
from gateway_core.audit.shipper import Shipper
from gateway_core.audit.spool import Spool
from tests.gateway_core.audit.trails import event, execute, faults, store, verify
from tests.timing import wait_until

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def head_of(number: int) -> Head:
    return Head(number, f"{number:064x}")


@pytest.fixture
def kept(spool_directory: Path) -> Heads:
    return Heads(spool_directory)


def keep(kept: Heads) -> None:
    head = chain.head()
    assert head is not None
    kept.keep(head, NOW)


@pytest.mark.django_db
def test_finds_without_being_asked_that_the_end_was_cut_off(kept: Heads) -> None:
    store(1, 1, 1, 1)
    keep(kept)
    assert "nothing was cut off up to batch 4" in verify()

    execute("DELETE FROM audit_auditevent WHERE batch > 2")
    execute("DELETE FROM audit_auditbatch WHERE sequence > 2")

    assert "is missing: the chain ends at 2:" in faults()


@pytest.mark.django_db
def test_finds_that_the_chain_went_on_from_where_it_was_cut_off(kept: Heads) -> None:
    store(1, 1)
    keep(kept)
    execute("DELETE FROM audit_auditevent WHERE batch = 2")
    execute("DELETE FROM audit_auditbatch WHERE sequence = 2")
    store(1, 1)
    keep(kept)

    assert "batch 2 is not the one of the head" in faults()


@pytest.mark.django_db
def test_finds_that_everything_was_removed(kept: Heads) -> None:
    store(1)
    keep(kept)
    execute("DELETE FROM audit_auditevent")
    execute("DELETE FROM audit_auditbatch")

    assert "the chain is empty" in faults()


@pytest.mark.django_db
def test_says_that_the_end_was_not_proved_where_there_is_no_head() -> None:
    store(1)

    assert "that nothing was cut off at the end was not proved: there was no head" in verify()


@pytest.mark.django_db
def test_leaves_out_the_heads_of_what_is_not_verified(kept: Heads) -> None:
    store(1)
    keep(kept)
    execute("UPDATE audit_auditbatch SET at = at - interval '2 days'")
    store(1)
    keep(kept)

    assert "up to batch 2" in verify("--since", str(datetime.now(UTC).date() - timedelta(days=1)))


@pytest.mark.django_db(transaction=True)
def test_a_shipper_keeps_where_the_chain_ends(spool: Spool, kept: Heads) -> None:
    spool.append(event())
    shipper = Shipper(spool, interval_seconds=0.02)
    shipper.start()
    wait_until(kept.read)
    shipper.stop(10)

    assert kept.read() == [chain.head()]
    assert kept.path.stat().st_mode & 0o777 == 0o600


def test_keeps_the_newest_and_one_of_each_day(kept: Heads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_NEWEST", 3)
    monkeypatch.setattr(heads, "_THINNED_FROM_BYTES", 20 * 100)
    for number in range(100):
        for _ in range(2):  # processes
            kept.keep(head_of(number), NOW + timedelta(hours=8 * number))

    read = kept.read()
    assert {head_of(number) for number in (0, 2, 5, 98, 99)} <= set(read)
    assert [head.sequence for head in read] == sorted(head.sequence for head in read)
    assert len(read) < 60


def test_is_never_larger_than_it_may_be(kept: Heads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_NEWEST", 3)
    monkeypatch.setattr(heads, "_DAYS", 4)
    monkeypatch.setattr(heads, "_THINNED_FROM_BYTES", 1000)
    for number in range(50):
        kept.keep(head_of(number), NOW + timedelta(days=number))

    assert kept.path.stat().st_size < 1200
    assert head_of(49) in kept.read()


def test_loses_none_while_others_thin_the_file(
    kept: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "_THINNED_FROM_BYTES", 0)

    def write(first: int) -> None:
        for number in range(first, first + 50):
            kept.keep(head_of(number), NOW)

    threads = [Thread(target=write, args=(1000 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(kept.read()) == 200


def test_reads_over_the_torn_end_of_a_killed_process(kept: Heads) -> None:
    kept.keep(head_of(1), NOW)
    with kept.path.open("a") as file:
        file.write("2026-11-23T12:00:00Z 2:00\n")
    kept.keep(head_of(3), NOW)

    assert kept.read() == [head_of(1), head_of(3)]
