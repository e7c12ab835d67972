from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from gateway_core.breaker import Breaker
from gateway_project.system import circuits

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("root", email="root@example.com")


def set_it(verb: str, by: User) -> None:
    if verb == "trip":
        circuits.trip(name="litellm", reason="why", by=by)
    else:
        circuits.reset(name="litellm", by=by)


@pytest.mark.parametrize("verb", ["trip", "reset"])
def test_holds_no_transaction_while_the_others_are_told(
    verb: str, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, int]] = []

    def look() -> None:
        seen.append((connection.in_atomic_block, AuditEvent.objects.count()))

    async def tell(_: Breaker, *_reason: str) -> None:
        await sync_to_async(look)()

    monkeypatch.setattr(Breaker, verb, tell)
    set_it(verb, staff)
    assert seen == [(False, 0)]
    assert AuditEvent.objects.get().action == f"breaker.{verb}"


@pytest.mark.parametrize("verb", ["trip", "reset"])
def test_records_nothing_that_was_not_done(
    verb: str, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Breaker, *_reason: str) -> None:
        raise ConnectionError

    monkeypatch.setattr(Breaker, verb, fail)
    with pytest.raises(ConnectionError):
        set_it(verb, staff)
    assert not AuditEvent.objects.exists()
