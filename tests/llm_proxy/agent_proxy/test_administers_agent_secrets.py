from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from llm_proxy.agent_proxy.secrets import PREFIX
from llm_proxy.agent_proxy.services import address_for, version_for
from llm_proxy.models import AgentSecret

LIST = "/admin/llm_proxy/agentsecret/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    user = User.objects.create(pk=uuid4(), email="alice@example.com")
    address_for(user.pk)
    return user


def revoke(client: Client, user: User, *, confirmed: bool) -> Any:
    data = {"action": "revoke", "_selected_action": [str(user.pk)]}
    return client.post(LIST, data | ({"post": "yes"} if confirmed else {}))


def test_secrets_are_found_by_their_user(admin_client: Client, alice: User) -> None:
    for term in ("alice@example.com", str(alice.pk)):
        (row,) = admin_client.get(LIST, {"q": term}).context["cl"].result_list
        assert row.pk == alice.pk
    assert list(admin_client.get(LIST, {"q": "alice"}).context["cl"].result_list) == []


def test_no_page_shows_a_secret(admin_client: Client, alice: User) -> None:
    for path in (LIST, f"{LIST}{alice.pk}/change/", f"{LIST}{alice.pk}/history/"):
        assert PREFIX not in admin_client.get(path).content.decode()


def test_replaces_a_secret_after_asking(admin_client: Client, alice: User) -> None:
    assert b"alice@example.com" in revoke(admin_client, alice, confirmed=False).content
    assert version_for(alice.pk) == 1

    revoke(admin_client, alice, confirmed=True)

    assert version_for(alice.pk) == 2
    event = AuditEvent.objects.get(action="agent_secret.revoke")
    assert event.resource == f"user:{alice.pk}"
    assert event.user_id == User.objects.get(is_superuser=True).pk


def test_replaces_nothing_for_who_may_not(client: Client, alice: User) -> None:
    staff = User.objects.create_user("staff", is_staff=True, email="staff@example.com")
    staff.user_permissions.set(Permission.objects.filter(codename="view_agentsecret"))
    client.force_login(staff)

    revoke(client, alice, confirmed=True)

    assert version_for(alice.pk) == 1
    assert client.post(f"{LIST}{alice.pk}/delete/", {"post": "yes"}).status_code == 403
    assert AgentSecret.objects.get().version == 1
