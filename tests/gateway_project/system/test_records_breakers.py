from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from gateway_core.breaker import Breaker
from gateway_project.system import circuits
from gateway_project.system.models import BreakerTrip

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("root", email="root@example.com")


def test_holds_no_transaction_while_the_others_are_told(
    staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, int]] = []

    def look() -> None:
        seen.append((connection.in_atomic_block, AuditEvent.objects.count()))

    async def tell(_: Breaker) -> None:
        await sync_to_async(look)()

    monkeypatch.setattr(Breaker, "reset", tell)
    circuits.reset(name="litellm", by=staff)
    assert seen == [(False, 0)]
    assert AuditEvent.objects.get().action == "breaker.reset"


def test_records_no_reset_that_was_not_done(staff: User, monkeypatch: pytest.MonkeyPatch) -> None:
    circuits.trip(name="litellm", reason="why", by=staff)

    async def fail(_: Breaker) -> None:
        raise ConnectionError

    monkeypatch.setattr(Breaker, "reset", fail)
    with pytest.raises(ConnectionError):
        circuits.reset(name="litellm", by=staff)
    assert AuditEvent.objects.get().action == "breaker.trip"
    assert circuits.circuit("litellm").state == "open"


def test_trips_nothing_that_is_not_recorded(staff: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_facts: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(circuits, "record_change", fail)
    with pytest.raises(ConnectionError):
        circuits.trip(name="litellm", reason="why", by=staff)
    assert not BreakerTrip.objects.exists()
    assert circuits.circuit("litellm").state == "closed"
