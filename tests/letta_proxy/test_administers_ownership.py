from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from letta_proxy.models import Kind, LettaAccount, OwnedResource

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    user = User.objects.create(pk=uuid4(), email="alice@example.com")
    LettaAccount.objects.create(
        user=user, state="active", organization_id="org-1", letta_user_id="user-1"
    )
    OwnedResource.objects.create(user=user, kind=Kind.AGENT, upstream_id="agent-1")
    OwnedResource.objects.create(
        user=user, kind=Kind.BLOCK, upstream_id="block-1", agent_id="agent-1"
    )
    return user


@pytest.mark.parametrize(
    ("model", "term", "rows"),
    [
        ("lettaaccount", "org-1", 1),
        ("lettaaccount", "user-1", 1),
        ("lettaaccount", "org", 0),
        ("ownedresource", "agent-1", 2),
        ("ownedresource", "block-1", 1),
        ("ownedresource", "block", 0),
        ("ownedresource", "", 2),
    ],
)
def test_finds_rows_by_whole_ids(
    admin_client: Client, owner: User, model: str, term: str, rows: int
) -> None:
    answer = admin_client.get(reverse(f"admin:letta_proxy_{model}_changelist"), {"q": term})

    assert answer.status_code == 200
    assert answer.content.decode().count(str(owner.pk)) >= bool(rows)
    assert answer.context["cl"].result_count == rows


def test_finds_rows_by_the_users_id(admin_client: Client, owner: User) -> None:
    url = reverse("admin:letta_proxy_ownedresource_changelist")

    assert admin_client.get(url, {"q": str(owner.pk)}).context["cl"].result_count == 2
    assert admin_client.get(url, {"q": str(uuid4())}).context["cl"].result_count == 0


def test_shows_and_never_changes(admin_client: Client, owner: User) -> None:
    resource = OwnedResource.objects.get(kind=Kind.AGENT)
    for model, pk in (("lettaaccount", owner.pk), ("ownedresource", resource.pk)):
        url = reverse(f"admin:letta_proxy_{model}_change", args=[pk])

        assert admin_client.get(url).status_code == 200
        assert admin_client.post(url, {"kind": "agent"}).status_code == 403
        assert admin_client.get(reverse(f"admin:letta_proxy_{model}_add")).status_code == 403
        delete = reverse(f"admin:letta_proxy_{model}_delete", args=[pk])
        assert admin_client.post(delete, {"post": "yes"}).status_code == 403
