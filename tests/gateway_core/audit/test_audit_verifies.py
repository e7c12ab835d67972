"""Every single thing that somebody with the database's password may do to the trail is found."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from uuid import UUID

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_core.audit import stored
from gateway_core.audit.events import new_id
from gateway_core.audit.keys import Signer
from gateway_core.audit.models import AuditBatch, AuditEvent
from gateway_core.audit.persons import rename_by_parts
from gateway_core.audit.sealing import seal_changes
from gateway_core.audit.services import record_change
from tests.gateway_core.audit.trails import ALICE, BOB, event, execute, faults, head, store, verify

pytestmark = pytest.mark.django_db

_EVENT = (
    "UPDATE audit_auditevent SET {} "
    "WHERE id = (SELECT id FROM audit_auditevent ORDER BY id LIMIT 1 OFFSET 3)"
)


def test_says_that_an_untouched_trail_is_good() -> None:
    store(3, 1, 500)

    said = verify()

    assert "504 events in 3 batches" in said
    assert "good: nothing was changed, removed or added" in said


def test_says_that_an_empty_trail_is_good() -> None:
    assert "0 events in 0 batches" in verify()


def test_verifies_texts_of_every_kind_just_as_postgres_stored_them() -> None:
    odd = '\0 \x01\x1f\x7f \\ " / \b\f\n\r\t ü 漢字 \U0001f600 \u2028 \\u0000 </script>'
    numbers = [0.1, 1e-7, 1e22, -0.0, 2**63 - 1, 1.0, 5e-324, 1.7976931348623157e308]
    facts = {"z": odd, "aa": numbers, "": {odd[3:]: [None, True, {}]}, "a": []}
    for name in ("path", "resource", "action", "route", "request_id", "client_ip"):
        AuditEvent.objects.store([event(**{name: odd}, facts=facts, duration_ms=1e15)])
    AuditEvent.objects.store([event(user_id=None, status=None, first_byte_ms=0.1 + 0.2)])

    assert "7 events in 7 batches" in verify()


@pytest.mark.parametrize(
    "change",
    [
        "at = at - interval '1 microsecond'",
        "at = at - interval '1 month'",
        "at = 'infinity'",
        "at = '0044-03-15 BC'",
        "plane = 'control'",
        "action = 'other'",
        "route = ''",
        "method = 'GET'",
        "path = path || ' '",
        f"user_id = '{BOB}'",
        "user_id = NULL",
        "user_email = 'bob@example.com'",
        "resource = 'x'",
        "client_ip = ''",
        "request_id = 'req_0123456780'",
        "trace_id = ''",
        "status = 500",
        "status = NULL",
        "code = 'policy_denied'",
        "duration_ms = 12.500000000000002",
        "duration_ms = 'NaN'",
        "duration_ms = NULL",
        "first_byte_ms = 0",
        "bytes_in = 2",
        "bytes_out = 0",
        """facts = facts || '{"cost": 0.00010000000000000000001}'""",
        """facts = facts || '{"cost": 0.00010}'""",
        "facts = facts - 'model'",
        "facts = '[]'",
        "facts = 'null'",
        "salt = gen_random_uuid()",
        "salt = NULL",
        "batch = batch + 1",
        "batch = 99",
        "batch = -1",
        "batch = NULL",
        "replaces = sha256('')",
        "id = gen_random_uuid()",
    ],
)
def test_finds_a_changed_event(change: str) -> None:
    store(6, 2)
    assert execute(_EVENT.format(change)) == 1

    assert faults()


def test_finds_two_events_that_were_swapped() -> None:
    store(1, request_id="req_first_one")
    store(1, request_id="req_second_one")
    first, second = AuditEvent.objects.order_by("id")
    fields = [field.name for field in AuditEvent._meta.fields if field.name not in {"id", "batch"}]
    one, other = ({name: getattr(row, name) for name in fields} for row in (first, second))
    AuditEvent.objects.filter(pk=first.pk).update(**other)
    AuditEvent.objects.filter(pk=second.pk).update(**one)

    assert "batch 1: of its 1 events" in faults()


def test_finds_events_that_changed_their_places() -> None:
    store(1, 1)
    execute("UPDATE audit_auditevent SET batch = 3 - batch")

    assert "batch 1" in faults()


def test_finds_a_deleted_event() -> None:
    store(5)
    AuditEvent.objects.filter(pk=AuditEvent.objects.all()[0].pk).delete()

    assert "batch 1 has 4 events of" in faults()


@pytest.mark.parametrize("batch", [None, 1, 2, 7])
def test_finds_an_inserted_event(batch: int | None) -> None:
    store(5)
    AuditEvent.objects.create(
        at="2026-11-01T00:00:00Z", plane="data", action="x", batch=batch, salt=UUID(BOB)
    )

    assert faults()


def test_finds_that_all_events_of_a_batch_are_gone() -> None:
    store(5, 5)
    AuditEvent.objects.filter(batch=1).delete()

    assert "no batch says that the month was dropped" in faults()


@pytest.mark.parametrize(
    "change",
    [
        "kind = 'retention'",
        "at = at - interval '1 day'",
        "at = 'infinity'",
        "events = 2",
        'digests = digests || \'{"2026-01": {"events": 1, "digest": "00"}}\'',
        "digests = '{}'",
        "digests = '[1]'",
        "digests = '{\"2026-11\": 1}'",
        """notes = '{"month": "2026-11"}'""",
        "notes = '1'",
        "previous = repeat('1', 64)",
        "key_id = 'other'",
        "hash = repeat('1', 64)",
        "hash = ''",
        "signature = translate(signature, '0123456789abcdef', '123456789abcdef0')",
        "signature = overlay(signature placing 'ff' from 127)",
        "signature = ''",
        "signature = 'no hexadecimal digits'",
        "sequence = 9",
        "sequence = 0",
    ],
)
def test_finds_a_changed_batch(change: str) -> None:
    store(1, 1, 1)
    assert execute(f"UPDATE audit_auditbatch SET {change} WHERE sequence = 2") == 1  # noqa: S608

    assert "batch" in faults()


def test_finds_a_batch_that_was_hashed_anew_without_the_key() -> None:
    store(2, 2, 2)
    stranger = Signer(b"\7" * 32)
    _rewrite(2, stranger)

    said = faults()

    assert f"batch 2 is signed with the key {stranger.key_id}" in said
    assert "batch 3 does not follow the batch before it" in said


def _rewrite(sequence: int, signer: Signer) -> None:
    """Have a batch say that it was sealed a day before, and sign that."""
    execute(
        "UPDATE audit_auditbatch SET at = at - interval '1 day' WHERE sequence = %s", [sequence]
    )
    batch = next(one for part in stored.batches() for one in part if one.sequence == sequence)
    new = replace(batch, key_id=signer.key_id).signed(signer)
    AuditBatch.objects.filter(pk=sequence).update(
        key_id=new.key_id, hash=new.hash, signature=new.signature
    )


def test_finds_a_batch_that_was_taken_out_with_its_events() -> None:
    store(2, 2, 2)
    AuditEvent.objects.filter(batch=2).delete()
    AuditBatch.objects.filter(pk=2).delete()

    assert "batch 2 is missing" in faults()


def test_finds_that_the_beginning_was_cut_off() -> None:
    store(2, 2, 2)
    AuditEvent.objects.filter(batch=1).delete()
    AuditBatch.objects.filter(pk=1).delete()

    assert "batch 1 is missing" in faults()


def test_finds_that_the_end_was_cut_off_by_a_head_that_was_kept() -> None:
    store(2, 2, 2)
    kept = head()
    AuditEvent.objects.filter(batch=3).delete()
    AuditBatch.objects.filter(pk=3).delete()

    assert "good" in verify()  # a chain can't tell that by itself
    assert f"batch {kept} is missing: the chain ends at 2:" in faults("--head", kept)


def test_finds_that_everything_was_removed_by_a_head_that_was_kept() -> None:
    store(2)
    kept = head()
    AuditEvent.objects.all().delete()
    AuditBatch.objects.all().delete()

    assert "the chain is empty" in faults("--head", kept)


def test_finds_another_chain_in_the_place_of_the_one_that_was_told_of() -> None:
    store(2)
    kept = head()
    AuditEvent.objects.all().delete()
    AuditBatch.objects.all().delete()
    store(2, 3)

    assert "batch 1 is not the one of the head" in faults("--head", kept)


def test_accepts_every_head_that_the_chain_has_had() -> None:
    store(2)
    first = head()
    store(2)

    assert "good" in verify("--head", first, "--head", head())


def test_verifies_only_what_is_newer_when_asked_to() -> None:
    store(2, 2)
    execute("UPDATE audit_auditbatch SET at = at - interval '1 day' WHERE sequence = 1")
    assert faults()

    assert "2 events in 1 batches" in verify("--since", _yesterday())


def _yesterday() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now() - interval '1 hour'")
        return str(cursor.fetchone()[0].isoformat())


_TEXTS = ("action", "path", "resource", "client_ip", "request_id", "trace_id", "code", "user_email")
_NUMBERS = ("status", "duration_ms", "first_byte_ms", "bytes_in", "bytes_out")
_COPY = """
INSERT INTO audit_auditevent SELECT (made).* FROM (
    SELECT jsonb_populate_record(e, jsonb_build_object('id', %(id)s::text)) AS made
    FROM audit_auditevent e WHERE id = %(event)s
) AS copies
"""
# Each is of one random row, or batch; what changes nothing is no mutation.
_MUTATIONS = (
    "UPDATE audit_auditevent SET {text} = %(word)s WHERE id = %(event)s AND {text} <> %(word)s",
    "UPDATE audit_auditevent SET {number} = %(small)s + 5000 WHERE id = %(event)s",
    "UPDATE audit_auditevent SET {number} = NULL WHERE id = %(event)s AND NOT {number} IS NULL",
    "UPDATE audit_auditevent SET at = at + %(step)s * interval '1 us' WHERE id = %(event)s",
    "UPDATE audit_auditevent SET facts = facts || '{{\"x\": 1}}' WHERE id = %(event)s",
    "UPDATE audit_auditevent SET batch = %(moved)s WHERE id = %(event)s AND batch <> %(moved)s",
    "DELETE FROM audit_auditevent WHERE id = %(event)s",
    "DELETE FROM audit_auditevent WHERE batch = %(batch)s",
    _COPY,
    "DELETE FROM audit_auditbatch WHERE sequence = %(batch)s AND sequence < 4",
    (
        "UPDATE audit_auditbatch SET hash = overlay(hash placing 'x' from %(digit)s) "
        "WHERE sequence = %(batch)s"
    ),
    (
        "UPDATE audit_auditbatch SET signature = overlay(signature placing 'x' from %(digit)s) "
        "WHERE sequence = %(batch)s"
    ),
    "UPDATE audit_auditbatch SET events = events + %(step)s WHERE sequence = %(batch)s",
    "UPDATE audit_auditbatch SET at = at + %(step)s * interval '1 us' WHERE sequence = %(batch)s",
    "DELETE FROM audit_withdrawnstate WHERE event_id = %(event)s",
    "UPDATE audit_withdrawnstate SET content = sha256(content) WHERE event_id = %(event)s",
    (
        "UPDATE audit_withdrawnstate SET batch = %(moved)s "
        "WHERE event_id = %(event)s AND batch <> %(moved)s"
    ),
)


def _mutate(kind: int, random: Random) -> int:
    """Do harm of a kind to random rows; return to how many."""
    nullable = ("status", "duration_ms", "first_byte_ms")
    number = random.choice(nullable if "NULL" in _MUTATIONS[kind] else _NUMBERS)
    return execute(
        _MUTATIONS[kind].format(text=random.choice(_TEXTS), number=number),
        {
            "event": random.choice(list(AuditEvent.objects.values_list("pk", flat=True))),
            "batch": random.choice([1, 2, 3, 4]),
            "moved": random.choice([0, 1, 2, 3, 4, 9]),
            "word": random.choice(["", "x", "🦉", "0"]),
            "small": random.randrange(1000),
            "step": random.choice([-1, 1]),
            "digit": random.randrange(1, 65),
            "id": new_id(),
        },
    )


@settings(
    max_examples=80,
    deadline=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(random=st.randoms(use_true_random=False), kind=st.sampled_from(range(len(_MUTATIONS))))
def test_finds_any_single_mutation(random: Random, kind: int, erased_trail: None) -> None:
    del erased_trail
    with transaction.atomic():
        if _mutate(kind, random):
            assert faults(), _MUTATIONS[kind]
        transaction.set_rollback(True)
    assert "good" in verify()


@pytest.fixture
def erased_trail() -> None:
    """Four batches: events, a change, and somebody's erasure."""
    store(3)
    store(2, user_id=BOB)
    record_change(actor=None, action="thing.change", resource=f"user:{ALICE}")
    seal_changes()
    sum(rename_by_parts(UUID(ALICE)))
    assert AuditBatch.objects.count() == 4
