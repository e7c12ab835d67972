from __future__ import annotations

from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from gateway_core.idempotency import services
from gateway_core.idempotency.models import IdempotencyRecord
from tests.gateway_core.idempotency.conftest import ANSWER, Keyed

pytestmark = pytest.mark.django_db
LIST = reverse("admin:idempotency_idempotencyrecord_changelist")


@pytest.fixture
def record(keyed: Keyed) -> IdempotencyRecord:
    found = services.reserve(keyed(), lease_seconds=60)
    assert isinstance(found, UUID)
    services.conclude(found, ANSWER)
    return IdempotencyRecord.objects.get()


def _page(record: IdempotencyRecord, name: str) -> str:
    return reverse(f"admin:idempotency_idempotencyrecord_{name}", args=[record.pk])


def test_lists_what_became_of_each_key(admin_client: Client, record: IdempotencyRecord) -> None:
    page = admin_client.get(LIST, {"q": record.key}).content.decode()

    assert "POST /api/v1/things" in page
    assert "201" in page
    assert "POST /api/v1/things" not in admin_client.get(LIST, {"q": "k-"}).content.decode()


def test_shows_no_answer(admin_client: Client, record: IdempotencyRecord) -> None:
    page = admin_client.get(_page(record, "change")).content.decode()

    assert "alice@example.com" in page
    for hidden in (record.encrypted_answer, record.scope, record.fingerprint):
        assert hidden not in page


def test_lets_nobody_change_or_free_a_key(admin_client: Client, record: IdempotencyRecord) -> None:
    assert admin_client.post(_page(record, "change"), {"state": "working"}).status_code == 403
    assert admin_client.post(_page(record, "delete"), {"post": "yes"}).status_code == 403
    assert IdempotencyRecord.objects.get().state == "answered"
