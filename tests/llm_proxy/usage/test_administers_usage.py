from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gateway_core.audit.models import AuditEvent
from llm_proxy.usage.models import UsageRecord
from tests.llm_proxy.usage.conftest import call_event

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
LIST = "admin:llm_proxy_usagerecord_changelist"


@pytest.fixture
def record() -> UsageRecord:
    """One of several, that every search is to find alone."""
    facts = {"call_id": "call-of-alice", "api_key_id": str(uuid4()), "cost": 0.05}
    lines = [
        call_event(facts=facts, request_id="req_of_alice", user_id=str(uuid4())),
        call_event(facts={"api_key_id": str(uuid4())}),
        call_event(facts={"turn": True, "cost": 1}),
    ]
    AuditEvent.objects.store(lines)
    return UsageRecord.objects.get(call_id="call-of-alice")


def listed(admin_client: Client, **query: str) -> list[UsageRecord]:
    return list(admin_client.get(reverse(LIST), query).context["cl"].result_list)


@pytest.mark.parametrize("by", ["pk", "call_id", "request_id", "user_id", "api_key_id"])
def test_finds_records_by_whole_ids(admin_client: Client, record: UsageRecord, by: str) -> None:
    term = str(getattr(record, by))

    assert listed(admin_client, q=f" {term} ") == [record]
    assert listed(admin_client, q=term[:-1]) == []


def test_lists_all_and_those_that_are_open(admin_client: Client, record: UsageRecord) -> None:
    assert len(listed(admin_client)) == 3
    assert record not in listed(admin_client, open="1")
    assert len(listed(admin_client, open="1")) == 1


def test_never_counts_the_whole_table(admin_client: Client, record: UsageRecord) -> None:
    del record
    for query in ({}, {"open": "1"}, {"q": "req_of_alice"}):
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(reverse(LIST), query)

        asked = [one["sql"] for one in queries if 'FROM "llm_proxy_usagerecord"' in one["sql"]]
        assert len(asked) == 2
        assert all("LIMIT" in sql for sql in asked if "COUNT" in sql)
        assert not any("LIKE" in sql for sql in asked)


@pytest.mark.parametrize("view", ["add", "change", "delete"])
def test_lets_nobody_rewrite_it(admin_client: Client, record: UsageRecord, view: str) -> None:
    arguments = [] if view == "add" else [record.pk]
    answer = admin_client.post(
        reverse(f"admin:llm_proxy_usagerecord_{view}", args=arguments), {"cost": 0}
    )

    assert answer.status_code == 403
    assert UsageRecord.objects.count() == 3


def test_shows_one_record(admin_client: Client, record: UsageRecord) -> None:
    page = admin_client.get(reverse("admin:llm_proxy_usagerecord_change", args=[record.pk]))

    assert page.status_code == 200
    assert b"call-of-alice" in page.content
    assert b"req_of_alice" in page.content


@pytest.mark.usefixtures("record")
def test_shows_costs_without_zeros_at_their_end(admin_client: Client) -> None:
    page = admin_client.get(reverse(LIST)).content

    assert b">0.05</td>" in page
    assert b">1</td>" in page


def test_is_closed_to_staff_without_the_permission(client: Client) -> None:
    client.force_login(get_user_model().objects.create(username="member", is_staff=True))

    assert client.get(reverse(LIST)).status_code == 403


def test_names_itself() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)

    assert str(UsageRecord(at=at, model="small")) == "2026-03-01 00:00:00 small"
    assert str(UsageRecord(at=at, kind="turn")) == "2026-03-01 00:00:00 turn"
