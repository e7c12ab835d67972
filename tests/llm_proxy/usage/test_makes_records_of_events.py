from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.db import DataError

from gateway_core.audit.models import AuditEvent
from gateway_core.audit.shipper import ship
from gateway_core.audit.spool import Spool
from llm_proxy.usage.models import UsageRecord
from tests.llm_proxy.usage.conftest import USER_ID, call_event

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.django_db


def record_of(**facts: Any) -> UsageRecord:
    AuditEvent.objects.store([call_event(facts=facts)])
    return UsageRecord.objects.get()


def test_makes_a_record_of_a_call() -> None:
    key_id, api_key_id = uuid4(), uuid4()

    record = record_of(
        call_id="req_0123456789-abc",
        virtual_key_id=key_id,
        api_key_id=api_key_id,
        agent="agent-1",
        tokens_in=10,
        tokens_out=20,
        cost=5.55e-06,
    )

    event = AuditEvent.objects.get()
    assert record.pk == event.pk
    assert event.at - record.at == timedelta(seconds=1.5)
    assert (record.kind, record.source, record.user_id) == ("call", "gateway", USER_ID)
    assert (record.virtual_key_id, record.api_key_id) == (key_id, api_key_id)
    assert (record.agent_id, record.model) == ("agent-1", "small")
    assert record.operation == "chat/completions"
    assert (record.call_id, record.request_id) == ("req_0123456789-abc", "req_0123456789")
    assert (record.tokens_in, record.tokens_out) == (10, 20)
    assert record.cost == Decimal("0.00000555")
    assert record.look_at is None
    assert (record.status, record.code) == (200, "")


def test_a_call_that_did_not_tell_its_cost_is_open(settings: Any) -> None:
    settings.USAGE_COLLECT_SECONDS = 7

    record = record_of()

    assert record.cost is None
    assert record.look_at == AuditEvent.objects.get().at + timedelta(seconds=7)
    assert (record.tokens_in, record.tokens_out) == (None, None)


def test_a_stream_is_looked_up_though_it_has_told_its_cost(settings: Any) -> None:
    settings.USAGE_COLLECT_SECONDS = 7

    record = record_of(cost=0.05, provisional=True)

    assert record.cost == Decimal("0.05")
    assert record.look_at == AuditEvent.objects.get().at + timedelta(seconds=35)


def test_a_call_may_cost_nothing() -> None:
    record = record_of(cost=0.0)

    assert (record.cost, record.look_at) == (Decimal(0), None)


def test_makes_a_turn_of_what_an_agent_did_without_a_call_of_ours() -> None:
    facts = {"agent": "agent-1", "tokens_in": 3, "turn": True}
    line = call_event(route="letta", operation="send_message", facts=facts)
    AuditEvent.objects.store([line.replace(b'"call_id"', b'"other"')])

    turn = UsageRecord.objects.get()
    assert (turn.kind, turn.agent_id, turn.tokens_in) == ("turn", "agent-1", 3)
    assert (turn.cost, turn.look_at, turn.call_id) == (None, None, "")


def test_makes_nothing_of_other_events() -> None:
    lines = [
        call_event(facts={"agent": "agent-1"}).replace(b'"call_id"', b'"other"'),
        call_event().replace(b'"plane":"data"', b'"plane":"control"'),
        call_event(user_id="", status=200),
        call_event(path='/"call_id":').replace(b'"call_id"', b'"other"'),
    ]

    assert AuditEvent.objects.store(lines) == 4

    assert not UsageRecord.objects.exists()


def test_each_event_makes_one_record_when_it_comes_twice() -> None:
    lines = [call_event(facts={"cost": 1}) for _ in range(3)]

    AuditEvent.objects.store(lines)
    AuditEvent.objects.store(lines)

    assert UsageRecord.objects.count() == 3


def test_a_call_that_litellms_log_has_told_of_stays_one_record() -> None:
    known = UsageRecord.objects.create(
        pk=uuid4(), at=datetime.now(UTC), source="litellm", user_id=USER_ID, call_id="c", cost=2
    )

    assert record_of(call_id="c").pk == known.pk


def test_says_of_an_event_that_it_is_none() -> None:
    with pytest.raises(DataError):
        AuditEvent.objects.store([call_event(facts={"virtual_key_id": "no id"})])


@pytest.mark.django_db(transaction=True)
def test_keeps_event_and_record_together(tmp_path: Path) -> None:
    """One line in a batch that can't be stored takes none of the others with it."""
    spool = Spool(tmp_path)
    for key_id in (uuid4(), "no id", uuid4()):
        spool.append(call_event(facts={"virtual_key_id": str(key_id), "cost": 1}))
    spool.hand_over()

    assert ship(spool) == 2

    kept = set(AuditEvent.objects.values_list("pk", flat=True))
    assert kept == set(UsageRecord.objects.values_list("pk", flat=True))
    assert [path.suffix for path in tmp_path.iterdir()] == [".rejected"]


def test_takes_long_and_odd_texts() -> None:
    record = record_of(model="m\0" * 300, agent="a" * 100, call_id="c" * 200)

    assert len(record.model) == 256
    assert len(record.agent_id) == 64
    assert len(record.call_id) == 128
