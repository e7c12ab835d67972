from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from gateway_core.audit import chain
from gateway_core.audit import shipper as shipper_module
from gateway_core.audit.keys import Signer
from gateway_core.audit.leaves import SQL_CONTENT
from gateway_core.audit.models import AuditBatch, AuditEvent, UnsealedChange
from gateway_core.audit.persons import pseudonym_of, rename_by_parts
from gateway_core.audit.sealing import seal_changes
from gateway_core.audit.services import record_change
from gateway_core.audit.shipper import Shipper, ship
from gateway_core.audit.spool import Spool
from tests.gateway_core.audit.numbered import numbered
from tests.gateway_core.audit.trails import ALICE, event, execute, faults, store, verify

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_core.audit.conftest import RunProgram

_OLD, _NEW = "aa" * 32, "bb" * 32


def _public(seed: str) -> str:
    return Signer(bytes.fromhex(seed)).public_key.hex()


@pytest.mark.django_db
def test_chains_each_batch_to_the_one_before() -> None:
    store(2, 3)

    first, second = AuditBatch.objects.order_by("sequence")
    assert (first.sequence, second.sequence) == (1, 2)
    assert first.previous == "0" * 64
    assert second.previous == first.hash
    assert (first.events, second.events) == (2, 3)


@pytest.mark.django_db
def test_seals_nothing_twice_when_lines_come_again() -> None:
    lines = [event() for _ in range(3)]
    AuditEvent.objects.store(lines)
    AuditEvent.objects.store(lines)
    AuditEvent.objects.store([*lines, event()])

    assert list(AuditBatch.objects.order_by("sequence").values_list("events", flat=True)) == [3, 1]
    assert "4 events in 2 batches" in verify()


@pytest.mark.django_db(transaction=True)
def test_seals_nothing_twice_when_a_shipper_died_before_it_removed_its_file(
    spool: Spool, spool_directory: Path
) -> None:
    for number in range(3):
        spool.append(numbered(number))
    spool.hand_over()
    (file,) = spool_directory.iterdir()
    content = file.read_bytes()
    ship(spool)
    file.write_bytes(content)

    assert ship(spool) == 0
    assert "3 events in 1 batches" in verify()


def test_makes_one_chain_when_two_processes_ship_at_once(
    run_program: RunProgram, tmp_path: Path, database_url: str
) -> None:
    shippers = []
    for name in ("one", "other"):
        spool = Spool(tmp_path / name)
        for number in range(6000):
            spool.append(numbered(number, writer=name))
        spool.hand_over()
        shippers.append(run_program("adopter", tmp_path / name, DATABASE_URL=database_url))
    for shipper in shippers:
        assert shipper.stdout is not None
        assert shipper.stdout.readline() == b"ready\n"
    for shipper in shippers:
        assert shipper.stdin is not None
        shipper.stdin.write(b"go\n")
        shipper.stdin.flush()
    for shipper in shippers:
        shipper.communicate(timeout=60)

    assert "12000 events in 24 batches" in verify()


@pytest.mark.django_db(transaction=True)
def test_lets_others_write_while_a_change_is_not_yet_committed() -> None:
    done = threading.Event()

    def write_elsewhere() -> None:
        store(1)
        connection.close()
        done.set()

    with transaction.atomic():
        record_change(actor=None, action="thing.change", resource="thing:1")
        other = threading.Thread(target=write_elsewhere)
        other.start()
        assert done.wait(10)
        other.join()

    assert seal_changes() == 1
    assert "2 events in 2 batches" in verify()


@pytest.mark.django_db
def test_trail_is_good_before_and_after_a_change_is_sealed() -> None:
    store(1)
    record_change(actor=None, action="thing.change", resource="thing:1", facts={"a": 0.1})

    assert "1 events in 1 batches" in verify()
    assert seal_changes() == 1
    assert "2 events in 2 batches" in verify()
    assert not UnsealedChange.objects.exists()
    assert seal_changes() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE audit_auditevent SET resource = 'thing:2'",
        "UPDATE audit_unsealedchange SET signature = translate(signature, '01', '10')",
        "UPDATE audit_unsealedchange SET signature = ''",
        "UPDATE audit_unsealedchange SET signature = 'xyz'",
        "DELETE FROM audit_unsealedchange",
        "DELETE FROM audit_auditevent",
    ],
)
def test_never_seals_a_change_that_was_tampered_with(
    harm: str,
) -> None:
    record_change(actor=None, action="thing.change", resource="thing:1")
    execute(harm)

    assert faults()
    assert seal_changes() == 0
    assert seal_changes() == 0
    assert faults()
    record_change(actor=None, action="thing.change", resource="thing:3")
    assert seal_changes() == 1


@pytest.mark.django_db
def test_verifies_with_former_keys_when_the_key_was_changed(settings: Settings) -> None:
    settings.AUDIT_SIGNING_KEYS = (_OLD,)
    store(1)
    record_change(actor=None, action="thing.change", resource="thing:1")
    settings.AUDIT_SIGNING_KEYS = (_NEW, _OLD)
    assert seal_changes() == 1
    store(1)
    assert "good" in verify()

    settings.AUDIT_SIGNING_KEYS = (_NEW,)
    assert "not among the public keys" in faults()
    settings.AUDIT_PUBLIC_KEYS = (_public(_OLD),)
    assert "good" in verify()
    assert "good" in verify("--public-key", _public(_NEW), "--public-key", _public(_OLD))
    assert "not among the public keys" in faults("--public-key", _public(_NEW))


@pytest.mark.django_db
def test_an_erasure_keeps_the_chain_good_and_leaves_nothing_personal() -> None:
    AuditEvent.objects.store([event(path=f"/api/v1/agents/{ALICE}/proxy") for _ in range(3)])
    store(2, user_id=None, resource=f"user:{ALICE}")
    record_change(actor=None, action="user.suspend", resource=f"user:{ALICE}")

    assert sum(rename_by_parts(UUID(ALICE))) == 6

    assert "6 events in 4 batches" in verify()
    assert ALICE not in str(list(AuditEvent.objects.values()))
    assert not AuditEvent.objects.exclude(batch=4).exists()
    assert AuditBatch.objects.get(pk=4).kind == "erasure"


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["path", "resource", "request_id", "trace_id", "facts"])
@pytest.mark.parametrize("name", [ALICE, ALICE.upper(), UUID(ALICE).hex, UUID(ALICE).hex.upper()])
def test_an_erasure_finds_the_id_wherever_and_however_a_caller_wrote_it(
    field: str, name: str
) -> None:
    store(1, user_id=None, **{field: {"said": name} if field == "facts" else name})

    assert sum(rename_by_parts(UUID(ALICE))) == 1

    row = AuditEvent.objects.get()
    assert UUID(ALICE).hex not in str(vars(row)).lower().replace("-", "")
    left = row.facts["said"] if field == "facts" else getattr(row, field)
    assert (UUID(left), len(left)) == (pseudonym_of(UUID(ALICE)), len(name))
    assert "good" in verify()


@pytest.mark.django_db
def test_finds_a_change_of_what_an_erased_event_says() -> None:
    store(3)
    sum(rename_by_parts(UUID(ALICE)))

    execute(
        "UPDATE audit_auditevent SET path = '/elsewhere' WHERE id IN "
        "(SELECT id FROM audit_auditevent LIMIT 1)"
    )

    assert "batch 2: of its 3 events" in faults()


@pytest.mark.django_db
def test_finds_a_deleted_event_that_had_been_erased() -> None:
    store(3)
    sum(rename_by_parts(UUID(ALICE)))

    execute("DELETE FROM audit_auditevent WHERE id IN (SELECT id FROM audit_auditevent LIMIT 1)")

    assert faults()


@pytest.mark.django_db
def test_finds_an_event_that_was_made_to_look_as_if_it_was_erased() -> None:
    store(3)
    victim = AuditEvent.objects.all()[0].pk
    execute(
        "INSERT INTO audit_withdrawnstate (event_id, batch, content, replaces) "  # noqa: S608
        f"SELECT id, batch, {SQL_CONTENT}, '' FROM audit_auditevent WHERE id = %s",
        [victim],
    )
    execute("DELETE FROM audit_auditevent WHERE id = %s", [victim])

    assert f"event {victim} was taken out" in faults()


@pytest.mark.django_db
def test_an_event_about_two_people_can_be_erased_twice() -> None:
    bob = uuid4()
    AuditEvent.objects.store([event(resource=f"user:{bob}") for _ in range(2)])
    sum(rename_by_parts(UUID(ALICE)))
    sum(rename_by_parts(bob))

    assert "2 events in 3 batches" in verify()
    execute("UPDATE audit_withdrawnstate SET content = sha256('') WHERE batch = 2")
    assert faults()


@pytest.mark.django_db
def test_forgets_what_the_erased_event_said_so_that_it_cannot_be_guessed() -> None:
    AuditEvent.objects.store([event()])
    salt = AuditEvent.objects.get().salt
    sum(rename_by_parts(UUID(ALICE)))

    assert AuditEvent.objects.get().salt != salt
    kept = str([list(row) for row in _rows("audit_withdrawnstate")])
    assert str(salt) not in kept
    assert salt.hex not in kept  # type: ignore[union-attr]


def _rows(table: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")  # noqa: S608
        return list(cursor.fetchall())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Heads that the log was told of."""
    heads: list[str] = []
    log = SimpleNamespace(
        info=lambda _event, head="", **_: heads.append(head), warning=lambda *_, **__: None
    )
    monkeypatch.setattr(shipper_module, "_log", log)
    return heads


def test_tells_the_log_of_the_head_once_a_minute_and_at_the_end(
    spool: Spool, transactional_db: None, told: list[str]
) -> None:
    del transactional_db
    now = [0.0]
    shipper = Shipper(spool, interval_seconds=0.01, clock=lambda: now[0])
    heads = []
    for seconds in (0, 59, 61):
        now[0] = seconds
        spool.append(numbered(seconds))
        if not seconds:
            shipper.start()
        assert shipper.flush(30)
        heads.append(str(chain.head()))
    spool.append(numbered(99))
    shipper.stop(30)

    assert told == [heads[0], heads[2], str(chain.head())]
