from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction

from gateway_core import context
from gateway_core.audit.models import AuditEvent
from gateway_core.audit.services import record_change


@pytest.mark.django_db(transaction=True)
def test_change_is_recorded_when_the_transaction_is_kept() -> None:
    action = f"test.{uuid4()}"
    staff = get_user_model().objects.create_user("staff", email="staff@example.com")

    with transaction.atomic():
        record_change(actor=staff, action=action, resource="thing:1", facts={"name": "new"})

    event = AuditEvent.objects.get(action=action)
    assert (event.plane, event.route, event.resource) == ("control", "control", "thing:1")
    assert (event.user_id, event.user_email) == (staff.pk, "staff@example.com")
    assert (event.status, event.facts) == (None, {"name": "new"})


@pytest.mark.django_db(transaction=True)
def test_change_is_not_recorded_when_the_transaction_is_undone() -> None:
    action = f"test.{uuid4()}"

    with transaction.atomic():
        record_change(actor=None, action=action, resource="thing:1")
        assert AuditEvent.objects.filter(action=action).exists()
        transaction.set_rollback(True)

    assert not AuditEvent.objects.filter(action=action).exists()


@pytest.mark.django_db
def test_change_belongs_to_the_request_it_is_made_in() -> None:
    action = f"test.{uuid4()}"
    scope = {
        "method": "POST",
        "path": "/api/v1/agents",
        "client": ("203.0.113.9", 1),
        "headers": [(b"x-request-id", b"req-of-the-change")],
    }
    token = context.current.set(None)
    try:
        context.begin(scope).belongs_to(uuid4(), key := uuid4())
        record_change(actor=None, action=action, resource="agent:1")
    finally:
        context.current.reset(token)

    event = AuditEvent.objects.get(action=action)
    assert event.facts == {"api_key_id": str(key)}
    assert (event.request_id, event.client_ip) == ("req-of-the-change", "203.0.113.9")
    assert (event.method, event.path, event.user_id) == ("POST", "/api/v1/agents", None)


@pytest.mark.django_db
def test_change_holds_no_secret_and_leaves_the_callers_facts_alone() -> None:
    action = f"test.{uuid4()}"
    facts: dict[str, Any] = {"api_key": "sk-one", "inner": {"token": "two", "nul": "a\0b"}}

    record_change(actor=None, action=action, resource="key:1", facts=facts)

    assert facts == {"api_key": "sk-one", "inner": {"token": "two", "nul": "a\0b"}}
    assert AuditEvent.objects.get(action=action).facts == {
        "api_key": "[redacted]",
        "inner": {"token": "[redacted]", "nul": "a\ufffdb"},
    }
