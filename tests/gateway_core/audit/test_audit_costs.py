"""What the trail costs. The figures are in the report of the run; the bounds are for disasters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction

from gateway_core.audit import models
from gateway_core.audit.events import is_worth_keeping, line_of
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.projections import project_all
from gateway_core.audit.shipper import ship
from tests.gateway_core.audit.trails import event, store, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_core.audit.spool import Spool
    from tests.gateway_core.audit.conftest import MakeRecord

_EVENTS = 5000
_FACTS = {"model": "small", "input_tokens": 12, "output_tokens": 34, "cost_usd": 0.0001}


def _keep_many(spool: Spool, make_record: MakeRecord) -> float:
    """Return CPU microseconds per event of what every request pays."""
    record = make_record(user_id="0b7c3b0e-6d0c-4a3e-8b53-3f0e64b7a001", facts=_FACTS)
    began = time.thread_time()
    for _ in range(_EVENTS):
        if is_worth_keeping(record):
            spool.append(line_of(record))
    return (time.thread_time() - began) / _EVENTS * 1e6


def test_request_pays_little_for_its_event(
    spool: Spool, make_record: MakeRecord, record_property: Callable[[str, object], None]
) -> None:
    microseconds = min(_keep_many(spool, make_record) for _ in range(3))

    record_property("audit_cpu_microseconds_per_event", round(microseconds, 1))
    assert microseconds < 40


@pytest.mark.django_db
def test_shipping_leaves_the_process_to_its_requests(
    spool: Spool, make_record: MakeRecord, record_property: Callable[[str, object], None]
) -> None:
    _keep_many(spool, make_record)
    spool.hand_over()
    began, cpu = time.perf_counter(), time.thread_time()

    shipped = ship(spool)

    microseconds = (time.thread_time() - cpu) / shipped * 1e6
    rate = shipped / (time.perf_counter() - began)
    record_property("audit_cpu_microseconds_per_shipped_event", round(microseconds, 1))
    record_property("audit_shipped_events_per_second", round(rate))
    assert shipped == _EVENTS
    assert microseconds < 30
    assert rate > 1000


@pytest.mark.django_db
def test_sealing_adds_little_to_storing(record_property: Callable[[str, object], None]) -> None:
    costs: dict[str, list[float]] = {"plain": [], "sealed": []}
    for _ in range(15):
        for name, put in (("plain", _store_plainly), ("sealed", AuditEvent.objects.store)):
            lines = [event() for _ in range(500)]
            began = time.thread_time()
            put(lines)
            costs[name].append((time.thread_time() - began) * 1e3)

    plain, sealed = (min(costs[name]) for name in ("plain", "sealed"))
    record_property("audit_cpu_ms_per_500_events_unsealed", round(plain, 2))
    record_property("audit_cpu_ms_per_500_events_sealed", round(sealed, 2))
    assert sealed < plain + 3


def _store_plainly(lines: list[bytes]) -> None:
    """Store as ``AuditEventManager.store`` does, without sealing."""
    text = models._document(lines)
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(models._insert(), [None, text])
        project_all(text)


@pytest.mark.django_db
def test_verifies_many_events_in_a_second(
    record_property: Callable[[str, object], None],
) -> None:
    store(*[500] * 20)
    began = time.perf_counter()

    assert "10000 events" in verify()

    rate = 10_000 / (time.perf_counter() - began)
    record_property("audit_verified_events_per_second", round(rate))
    assert rate > 2000
