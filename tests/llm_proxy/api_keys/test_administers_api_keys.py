from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from llm_proxy.api_keys import services
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.api_keys.services import Issued
from llm_proxy.models import UsageRecord

LIST = "/admin/llm_proxy/apikey/"

pytestmark = pytest.mark.django_db


def issue(email: str) -> Issued:
    user, _ = User.objects.get_or_create(email=email, defaults={"pk": uuid4()})
    return services.create_api_key(user=user, traits={"name": "cron", "scopes": ["llm"]})


@pytest.fixture
def issued() -> Issued:
    return issue("alice@example.com")


@pytest.fixture
def other() -> Issued:
    return issue("bob@example.com")


@pytest.fixture
def staff_client(client: Client) -> Callable[..., Client]:
    def sign_in(*permissions: str) -> Client:
        staff = User.objects.create_user("staff", is_staff=True, email="staff@example.com")
        staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(staff)
        return client

    return sign_in


def revoke(client: Client, *keys: ApiKey, confirmed: bool = True) -> Any:
    data: dict[str, Any] = {"action": "revoke", "_selected_action": [str(key.pk) for key in keys]}
    return client.post(LIST, data | ({"post": "yes"} if confirmed else {}))


def found(client: Client, **query: str) -> list[UUID]:
    return [row.pk for row in client.get(LIST, query).context["cl"].result_list]


@pytest.mark.usefixtures("other")
def test_keys_are_found_by_their_user_and_id(admin_client: Client, issued: Issued) -> None:
    key = issued.key
    for term in ("alice@example.com", " Alice@Example.com ", str(key.user_id), str(key.pk)):
        assert found(admin_client, q=term) == [key.pk]
    for term in ("alice", "example.com", key.hint, key.secret_hash):
        assert found(admin_client, q=term) == []


def test_keys_are_filtered_by_state(admin_client: Client, issued: Issued, other: Issued) -> None:
    ApiKey.objects.filter(pk=other.key.pk).update(expires_at=timezone.now() - timedelta(days=1))

    assert found(admin_client, state="active") == [issued.key.pk]
    assert found(admin_client, state="expired") == [other.key.pk]
    assert found(admin_client, state="revoked") == []
    assert len(found(admin_client, state="nonsense")) == 2


def test_many_keys_cost_as_many_queries_as_few(
    admin_client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    issue("alice@example.com")
    admin_client.get(LIST)
    with django_assert_num_queries(4):
        admin_client.get(LIST)
    for number in range(10):
        issue(f"user{number}@example.com")
    with django_assert_num_queries(4):
        admin_client.get(LIST)


def test_tells_when_a_key_was_last_used(admin_client: Client, issued: Issued) -> None:
    UsageRecord.objects.create(
        pk=uuid4(),
        at=datetime(2026, 3, 4, tzinfo=UTC),
        user_id=issued.key.user_id,
        api_key_id=issued.key.pk,
    )
    page = admin_client.get(f"{LIST}{issued.key.pk}/change/").content.decode()

    assert "2026-03-04" in page


def test_no_page_shows_a_secret_or_its_hash(admin_client: Client, issued: Issued) -> None:
    for path in (LIST, f"{LIST}{issued.key.pk}/change/"):
        page = admin_client.get(path).content.decode()

        assert issued.key.hint in page
        assert issued.secret not in page
        assert issued.key.secret_hash not in page


def test_asks_before_it_revokes(admin_client: Client, issued: Issued) -> None:
    page = revoke(admin_client, issued.key, confirmed=False)

    assert "Yes, revoke" in page.content.decode()
    assert "alice@example.com" in page.content.decode()
    assert ApiKey.objects.get().revoked_at is None


def test_revokes_and_records_who_did_it(
    staff_client: Callable[..., Client], issued: Issued, other: Issued
) -> None:
    revoke(staff_client("view_apikey", "revoke_apikey"), issued.key)

    assert ApiKey.objects.get(pk=issued.key.pk).revoked_at is not None
    assert ApiKey.objects.get(pk=other.key.pk).revoked_at is None
    event = AuditEvent.objects.get(action="api_key.revoke")
    assert (event.user_email, event.resource) == ("staff@example.com", f"api_key:{issued.key.pk}")


def test_revokes_nothing_twice(admin_client: Client, issued: Issued) -> None:
    for _ in range(2):
        revoke(admin_client, issued.key)

    assert AuditEvent.objects.filter(action="api_key.revoke").count() == 1


def test_does_not_let_just_anybody_revoke(
    staff_client: Callable[..., Client], issued: Issued
) -> None:
    client = staff_client("view_apikey")
    revoke(client, issued.key)

    assert "Revoke selected" not in client.get(LIST).content.decode()
    assert ApiKey.objects.get().revoked_at is None


def test_nothing_else_can_be_changed(admin_client: Client, issued: Issued) -> None:
    before = ApiKey.objects.values().get()

    assert admin_client.get(f"{LIST}add/").status_code == 403
    page = f"{LIST}{issued.key.pk}"
    assert admin_client.post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{page}/change/", {"name": "other"}).status_code == 403
    assert ApiKey.objects.values().get() == before
