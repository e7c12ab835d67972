from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gateway_core.audit.admin import BoundedPaginator
from gateway_core.audit.events import line_of
from gateway_core.audit.models import AuditBatch, AuditEvent
from gateway_core.audit.services import record_change

if TYPE_CHECKING:
    from django.test import Client

    from tests.gateway_core.audit.conftest import MakeRecord

pytestmark = pytest.mark.django_db
_LIST = "admin:audit_auditevent_changelist"


@pytest.fixture
def events(make_record: MakeRecord) -> list[AuditEvent]:
    """One that went well, one that failed upstream, one of the control plane, and a change."""
    user = str(uuid4())
    lines = [
        line_of(make_record(request_id="req_of_the_good", user_id=user)),
        line_of(
            make_record(
                request_id="req_of_the_bad",
                route="letta",
                status=502,
                error_code="upstream_failed",
            )
        ),
        line_of(make_record(request_id="req_of_control", route="control", status=404)),
        line_of(make_record(request_id="req_of_change", route="control")).replace(
            b'"status":200', b'"status":null'
        ),
    ]
    AuditEvent.objects.store(lines)
    return list(AuditEvent.objects.order_by("id"))


def _listed(admin_client: Client, **query: str) -> set[str]:
    page = admin_client.get(reverse(_LIST), query).content.decode()
    names = ("good", "bad", "control", "change")
    return {name for name in names if f"req_of_{'the_' * (name in 'good bad')}{name}" in page}


@pytest.mark.usefixtures("events")
def test_lists_events_for_staff(admin_client: Client) -> None:
    assert _listed(admin_client) == {"good", "bad", "control", "change"}


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"plane__exact": "control"}, {"control", "change"}),
        ({"route": "letta"}, {"bad"}),
        ({"status": "5"}, {"bad"}),
        ({"status": "2"}, {"good"}),
        ({"status": "changes"}, {"change"}),
        ({"code": "upstream_failed"}, {"bad"}),
        ({"q": "req_of_the_good"}, {"good"}),
        ({"q": "req_of_the"}, set()),
    ],
    ids=str,
)
def test_narrows_the_list(query: dict[str, str], expected: set[str], admin_client: Client) -> None:
    page = admin_client.get(reverse(_LIST), query)

    found = {event.request_id for event in page.context["cl"].result_list}
    assert {one.removeprefix("req_of_").removeprefix("the_") for one in found} == expected


def test_finds_events_by_user_and_by_their_own_id(
    admin_client: Client, events: list[AuditEvent]
) -> None:
    good = next(event for event in events if event.user_id)
    for wanted in (good.user_id, good.id):
        page = admin_client.get(reverse(_LIST), {"q": str(wanted)})
        assert list(page.context["cl"].result_list) == [good]


def test_shows_one_event_without_a_way_to_change_it(
    admin_client: Client, events: list[AuditEvent]
) -> None:
    page = admin_client.get(reverse("admin:audit_auditevent_change", args=[events[0].pk]))

    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert b"deletelink" not in page.content


@pytest.mark.parametrize("view", ["add", "change", "delete"])
def test_refuses_to_add_change_and_delete(
    view: str, admin_client: Client, events: list[AuditEvent]
) -> None:
    arguments = [] if view == "add" else [events[0].pk]
    answer = admin_client.post(
        reverse(f"admin:audit_auditevent_{view}", args=arguments), {"post": "yes", "action": "x"}
    )

    assert answer.status_code == 403
    assert AuditEvent.objects.count() == len(events)


def test_is_closed_to_staff_without_the_permission(client: Client) -> None:
    member = get_user_model().objects.create(username="member", is_staff=True)
    client.force_login(member)

    assert client.get(reverse(_LIST)).status_code == 403


@pytest.mark.usefixtures("events")
def test_never_counts_or_searches_the_whole_table(admin_client: Client) -> None:
    for query in ({}, {"code": "upstream_failed"}, {"status": "5"}, {"q": "req_of_the_good"}):
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(reverse(_LIST), query)

        asked = [one["sql"] for one in queries if "audit_auditevent" in one["sql"]]
        assert len(asked) == 2
        assert all("LIMIT" in sql for sql in asked if "COUNT" in sql)
        assert not any("DISTINCT" in sql or "LIKE" in sql for sql in asked)


def test_leads_from_an_event_to_its_batch(admin_client: Client, events: list[AuditEvent]) -> None:
    batch = AuditBatch.objects.get()
    link = reverse("admin:audit_auditbatch_change", args=[batch.pk])

    assert link in admin_client.get(_page("auditevent", events[0])).content.decode()
    page = admin_client.get(link)
    assert batch.hash in page.content.decode()
    assert b'name="_save"' not in page.content


def test_says_that_a_change_is_not_sealed_yet(admin_client: Client) -> None:
    record_change(actor=None, action="thing.change", resource="thing:1")

    page = admin_client.get(_page("auditevent", AuditEvent.objects.get())).content.decode()
    assert "not sealed yet" in page


def _page(model: str, row: AuditEvent) -> str:
    return reverse(f"admin:audit_{model}_change", args=[row.pk])


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("view", ["add", "change", "delete"])
def test_refuses_to_change_batches(view: str, admin_client: Client) -> None:
    arguments = [] if view == "add" else [1]
    answer = admin_client.post(
        reverse(f"admin:audit_auditbatch_{view}", args=arguments), {"post": "yes"}
    )

    assert answer.status_code == 403
    assert AuditBatch.objects.count() == 1


@pytest.mark.usefixtures("events")
def test_finds_batches_by_number_and_hash(admin_client: Client) -> None:
    batch = AuditBatch.objects.get()
    for wanted, found in (("1", [batch]), (batch.hash, [batch]), ("2", []), ("9" * 30, [])):
        page = admin_client.get(reverse("admin:audit_auditbatch_changelist"), {"q": wanted})
        assert list(page.context["cl"].result_list) == found


@pytest.mark.usefixtures("events")
def test_count_stops_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway_core.audit.admin._COUNTED_ROWS", 2)

    assert BoundedPaginator(AuditEvent.objects.all(), 100).count == 2
