from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from llm_proxy.models import Installation, VirtualKey

LIST = "/admin/llm_proxy/virtualkey/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> VirtualKey:
    user = User.objects.create(pk=uuid4(), email="alice@example.com")
    return VirtualKey.objects.managed(user.pk)


@pytest.fixture
def other() -> VirtualKey:
    user = User.objects.create(pk=uuid4(), email="bob@example.com")
    return VirtualKey.objects.managed(user.pk)


def test_a_user_has_one_managed_key(key: VirtualKey) -> None:
    assert VirtualKey.objects.managed(key.user_id) == key
    second = VirtualKey.chosen(key.user_id, VirtualKey.Kind.MANAGED)
    with pytest.raises(IntegrityError), transaction.atomic():
        second.save()


@pytest.mark.usefixtures("other")
def test_keys_are_found_by_their_user(admin_client: Client, key: VirtualKey) -> None:
    terms = ("alice@example.com", str(key.user_id), str(key.pk), key.token_hash)
    for term in (*terms, " alice@example.com "):
        page = admin_client.get(LIST, {"q": term})

        assert [row.pk for row in page.context["cl"].result_list] == [key.pk]


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("term", ["alice", "example.com", "nobody@example.com"])
def test_a_part_of_an_address_finds_nothing(admin_client: Client, term: str) -> None:
    assert list(admin_client.get(LIST, {"q": term}).context["cl"].result_list) == []


def test_keys_are_filtered_by_state(
    admin_client: Client, key: VirtualKey, other: VirtualKey
) -> None:
    VirtualKey.objects.filter(pk=key.pk).update(state=VirtualKey.State.ACTIVE)
    page = admin_client.get(LIST, {"state": "creating"})

    assert [row.pk for row in page.context["cl"].result_list] == [other.pk]


def test_no_page_shows_a_value(admin_client: Client, key: VirtualKey) -> None:
    for path in (LIST, f"{LIST}{key.pk}/change/"):
        page = admin_client.get(path).content.decode()

        assert str(key.pk) in page
        assert key.value() not in page
        assert key.encrypted_value not in page


def test_nothing_can_be_changed(admin_client: Client, key: VirtualKey) -> None:
    before = VirtualKey.objects.values().get()

    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{key.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{LIST}{key.pk}/change/", {"state": "blocked"}).status_code == 403
    assert VirtualKey.objects.values().get() == before


def member(*codenames: str) -> Client:
    user = User.objects.create_user(f"staff-{uuid4().hex[:6]}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, action: str, *keys: VirtualKey, **more: str) -> Any:
    chosen = [str(key.pk) for key in keys]
    return client.post(LIST, {"action": action, "_selected_action": chosen, **more})


def states() -> set[str]:
    return set(VirtualKey.objects.values_list("state", flat=True))


@pytest.mark.parametrize("action", ["block", "unblock", "replace"])
def test_asks_before_anything_is_done(admin_client: Client, key: VirtualKey, action: str) -> None:
    page = act(admin_client, action, key)
    assert page.status_code == 200
    assert str(key.pk) in page.content.decode()
    assert f'value="Yes, {action}"' in page.content.decode()
    assert key.value() not in page.content.decode()
    assert states() == {"creating"}
    assert not AuditEvent.objects.exists()


def test_blocks_and_unblocks_keys(admin_client: Client, key: VirtualKey, other: VirtualKey) -> None:
    act(admin_client, "block", key, other, post="yes")
    assert states() == {"blocked"}
    act(admin_client, "unblock", key, other, post="yes")
    assert states() == {"active"}
    actions = AuditEvent.objects.order_by("id").values_list("action", flat=True)
    assert list(actions) == ["virtual_key.block"] * 2 + ["virtual_key.unblock"] * 2


def test_replaces_keys_and_says_which_it_could_not(
    admin_client: Client, key: VirtualKey, other: VirtualKey
) -> None:
    VirtualKey.objects.filter(pk=other.pk).update(state=VirtualKey.State.BLOCKED)
    answer = admin_client.post(
        LIST,
        {"action": "replace", "_selected_action": [str(key.pk), str(other.pk)], "post": "yes"},
        follow=True,
    )
    assert "1 of 2 changed." in answer.content.decode()
    assert "This key is blocked: it is not replaced." in answer.content.decode()
    key.refresh_from_db()
    assert key.state == VirtualKey.State.RETIRING
    assert VirtualKey.objects.filter(user_id=key.user_id).count() == 2


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [("block_virtualkey", {"block"}), ("replace_virtualkey", {"replace"}), ("view_user", set())],
)
def test_each_action_has_a_permission(key: VirtualKey, permission: str, allowed: set[str]) -> None:
    client = member("view_virtualkey", permission)
    for action in ("block", "replace"):
        before = states()
        act(client, action, key, post="yes")
        assert (states() != before) is (action in allowed)


def test_the_installation_is_shown_and_stays(admin_client: Client) -> None:
    row = Installation.objects.get()
    page = f"/admin/llm_proxy/installation/{row.pk}/"
    assert str(row.pk) in admin_client.get(f"{page}change/").content.decode()
    assert admin_client.post(f"{page}delete/", {"post": "yes"}).status_code == 403
    assert admin_client.get("/admin/llm_proxy/installation/add/").status_code == 403
