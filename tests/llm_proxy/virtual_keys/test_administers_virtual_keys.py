from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import User
from llm_proxy.models import VirtualKey

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
    for term in ("alice@example.com", str(key.user_id), key.token_hash, " alice@example.com "):
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
        assert key.sealed_value not in page


def test_nothing_can_be_changed(admin_client: Client, key: VirtualKey) -> None:
    before = VirtualKey.objects.values().get()

    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{key.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{LIST}{key.pk}/change/", {"state": "blocked"}).status_code == 403
    assert VirtualKey.objects.values().get() == before
