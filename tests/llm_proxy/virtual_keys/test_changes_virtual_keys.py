from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import orjson
import pytest
from django.contrib.auth import get_user_model
from pytest_django import Settings

from accounts.models import User
from gateway_core.audit.models import AuditEvent
from gateway_core.errors import AccountSuspended, ResourceConflict, TokenRejected, UpstreamError
from llm_proxy.api_keys.models import ApiKey
from llm_proxy.models import VirtualKey
from llm_proxy.virtual_keys.services import (
    block_virtual_key,
    erase_virtual_keys,
    replace_virtual_key,
    retire_virtual_key,
    unblock_virtual_key,
)
from tests.conftest import Running
from tests.llm_proxy.conftest import LiteLLMBooks

UseKey = Callable[..., str]
State = VirtualKey.State
CHAT = {"model": "mock-gpt", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def staff(litellm_alone: None) -> User:
    del litellm_alone
    return get_user_model().objects.create_superuser("root", email="root@example.com")


@pytest.fixture
def api_key(alice: UUID) -> ApiKey:
    return ApiKey.objects.create(
        user_id=alice, name="ci", hint="gwk_ab", secret_hash="ab" * 32, scopes=["llm"], budget=1
    )


def only_key() -> VirtualKey:
    return VirtualKey.objects.get()


def works(litellm: Running, credential: str) -> bool:
    headers = {"authorization": credential}
    return litellm.client.post("/v1/chat/completions", json=CHAT, headers=headers).is_success


def events() -> list[tuple[str, UUID | None, str]]:
    found = AuditEvent.objects.order_by("id").values_list("action", "user_id", "resource")
    return list(found)


def test_a_blocked_key_is_refused_by_the_gateway_and_by_litellm(
    alice: UUID, use_key: UseKey, staff: User, litellm: Running
) -> None:
    credential = use_key(alice)
    key = only_key()
    assert block_virtual_key(virtual_key_id=key.pk, by=staff)
    assert not works(litellm, credential)
    with pytest.raises(AccountSuspended):
        use_key(alice)
    assert not block_virtual_key(virtual_key_id=key.pk, by=staff)
    assert unblock_virtual_key(virtual_key_id=key.pk, by=staff)
    assert works(litellm, credential)
    assert use_key(alice) == credential
    assert not unblock_virtual_key(virtual_key_id=key.pk, by=staff)
    resource = f"virtual_key:{key.pk}"
    assert events() == [
        ("virtual_key.block", staff.pk, resource),
        ("virtual_key.unblock", staff.pk, resource),
    ]


def test_hammering_with_a_blocked_key_reaches_nobody(
    alice: UUID, use_key: UseKey, staff: User, litellm: Running
) -> None:
    use_key(alice)
    block_virtual_key(virtual_key_id=only_key().pk, by=staff)
    with pytest.raises(AccountSuspended):
        use_key(alice)
    before = len(litellm.requests())
    VirtualKey.objects.all().delete()  # whoever looks into the database finds none
    with pytest.raises(AccountSuspended):
        use_key(alice)
    assert len(litellm.requests()) == before


def test_a_key_is_blocked_here_while_litellm_is_away(
    alice: UUID, use_key: UseKey, staff: User, settings: Settings
) -> None:
    use_key(alice)
    settings.LITELLM_BASE_URL = "http://127.0.0.1:9"
    assert block_virtual_key(virtual_key_id=only_key().pk, by=staff)
    with pytest.raises(AccountSuspended):
        use_key(alice)


def test_a_key_that_was_never_used_is_blocked_and_unblocked(
    alice: UUID, use_key: UseKey, staff: User, litellm: Running, books: LiteLLMBooks
) -> None:
    key = VirtualKey.objects.managed(alice)
    block_virtual_key(virtual_key_id=key.pk, by=staff)
    assert books.keys_of(alice) == []
    with pytest.raises(AccountSuspended):
        use_key(alice)
    unblock_virtual_key(virtual_key_id=key.pk, by=staff)
    assert works(litellm, use_key(alice))


def test_a_replaced_key_has_another_value_and_the_old_one_is_gone(
    alice: UUID, use_key: UseKey, staff: User, litellm: Running, books: LiteLLMBooks
) -> None:
    old_credential, old = use_key(alice), only_key()
    books.post("/user/update", {"user_id": str(alice), "metadata": {"kept": True}})
    new = replace_virtual_key(virtual_key_id=old.pk, by=staff)
    assert only_key() == new
    assert only_key().state == State.ACTIVE
    credential = use_key(alice)
    assert credential != old_credential
    assert (works(litellm, credential), works(litellm, old_credential)) == (True, False)
    assert [key["token"] for key in books.keys_of(alice)] == [new.token_hash]
    assert events() == [("virtual_key.replace", staff.pk, f"virtual_key:{old.pk}")]
    assert AuditEvent.objects.get().facts["replaced_by"] == str(new.pk)


def test_the_old_key_is_refused_at_once_and_deleted_later_when_litellm_is_away(
    alice: UUID, use_key: UseKey, staff: User, settings: Settings, books: LiteLLMBooks
) -> None:
    old_credential, old = use_key(alice), only_key()
    usual, settings.LITELLM_BASE_URL = settings.LITELLM_BASE_URL, "http://127.0.0.1:9"
    replace_virtual_key(virtual_key_id=old.pk, by=staff)
    assert set(VirtualKey.objects.values_list("state", flat=True)) == {
        State.RETIRING,
        State.CREATING,
    }
    settings.LITELLM_BASE_URL = usual
    assert use_key(alice) != old_credential
    assert len(books.keys_of(alice)) == 2


def test_what_was_spent_counts_for_the_key_that_takes_over(
    alice: UUID, api_key: ApiKey, use_key: UseKey, staff: User, books: LiteLLMBooks
) -> None:
    use_key(alice, api_key.pk)
    old = only_key()
    books.post("/key/update", {"key": old.token_hash, "spend": 0.75})
    new = replace_virtual_key(virtual_key_id=old.pk, by=staff)
    (key,) = books.keys_of(alice)
    assert (key["token"], key["spend"], key["max_budget"]) == (new.token_hash, 0.75, 1)
    api_key.refresh_from_db()
    assert api_key.virtual_key == new


@pytest.mark.parametrize("state", [State.BLOCKED, State.RETIRING])
def test_a_key_that_is_out_of_use_is_not_replaced(alice: UUID, staff: User, state: State) -> None:
    key = VirtualKey.objects.managed(alice)
    VirtualKey.objects.update(state=state)
    with pytest.raises(ResourceConflict):
        replace_virtual_key(virtual_key_id=key.pk, by=staff)
    assert only_key() == key
    assert events() == []


def test_a_retired_key_is_gone_and_the_next_call_gets_another(
    alice: UUID, use_key: UseKey, litellm: Running, books: LiteLLMBooks
) -> None:
    old_credential = use_key(alice)
    assert retire_virtual_key(virtual_key_id=only_key().pk)
    assert not VirtualKey.objects.exists()
    assert books.keys_of(alice) == []
    assert not works(litellm, old_credential)
    assert use_key(alice) != old_credential
    assert not retire_virtual_key(virtual_key_id=uuid4())


def test_the_key_of_a_revoked_api_key_is_gone_for_good(
    alice: UUID, api_key: ApiKey, use_key: UseKey, books: LiteLLMBooks
) -> None:
    use_key(alice, api_key.pk)
    ApiKey.objects.update(revoked_at="2026-01-01T00:00Z")
    assert retire_virtual_key(virtual_key_id=only_key().pk)
    assert books.keys_of(alice) == []
    with pytest.raises(TokenRejected):
        use_key(alice, api_key.pk)


def test_a_key_that_litellm_does_not_delete_waits_for_the_next_try(
    alice: UUID, use_key: UseKey, litellm: Running
) -> None:
    use_key(alice)
    litellm.fault("^/key/delete$", status=500, body={"error": {"type": "internal_server_error"}})
    retire_virtual_key(virtual_key_id=only_key().pk)
    assert only_key().state == State.RETIRING


@pytest.mark.parametrize(
    "wrong", [{"status": 404, "body": {"detail": "Not Found"}}, {"status": 302}, {"garbage": True}]
)
def test_an_answer_that_is_not_litellms_is_no_deletion(
    alice: UUID, use_key: UseKey, litellm: Running, wrong: dict[str, object]
) -> None:
    use_key(alice)
    litellm.fault("^/(key|user)/delete$", **wrong)
    retire_virtual_key(virtual_key_id=only_key().pk)
    assert only_key().state == State.RETIRING
    with pytest.raises(UpstreamError):
        erase_virtual_keys(user_id=alice)
    assert VirtualKey.objects.exists()


def test_an_erased_user_leaves_nothing_in_litellm(
    alice: UUID, bob: UUID, api_key: ApiKey, use_key: UseKey, books: LiteLLMBooks
) -> None:
    use_key(alice)
    use_key(alice, api_key.pk)
    use_key(bob)
    erase_virtual_keys(user_id=alice)
    erase_virtual_keys(user_id=alice)
    assert (books.users(), books.keys_of(alice)) == ([str(bob)], [])
    assert only_key().user_id == bob


def test_erasing_can_be_repeated_when_litellm_was_away(
    alice: UUID, use_key: UseKey, settings: Settings, books: LiteLLMBooks
) -> None:
    use_key(alice)
    usual, settings.LITELLM_BASE_URL = settings.LITELLM_BASE_URL, "http://127.0.0.1:9"
    with pytest.raises(UpstreamError):
        erase_virtual_keys(user_id=alice)
    assert only_key().state == State.RETIRING
    settings.LITELLM_BASE_URL = usual
    erase_virtual_keys(user_id=alice)
    assert books.users() == []
    assert not VirtualKey.objects.exists()


def test_no_event_holds_a_value(alice: UUID, use_key: UseKey, staff: User) -> None:
    credentials = [use_key(alice)]
    replace_virtual_key(virtual_key_id=only_key().pk, by=staff)
    credentials.append(use_key(alice))
    kept = orjson.dumps(list(AuditEvent.objects.values()), default=str).decode()
    assert not [one for one in credentials if one.removeprefix("Bearer ") in kept]
