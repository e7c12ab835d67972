from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from llm_proxy.models import VirtualKey
from tests.llm_proxy.conftest import LiteLLMBooks

CHAT = {"model": "sandbox-chat", "messages": [{"role": "user", "content": "hello"}]}
PATH = "/api/v1/llm/chat/completions"


@pytest.fixture
def alice(client_for: Callable[[str], httpx.Client]) -> httpx.Client:
    return client_for("alice@example.com")


def test_makes_a_key_again_that_litellm_has_lost(alice: httpx.Client, books: LiteLLMBooks) -> None:
    assert alice.post(PATH, json=CHAT).status_code == 200
    key = VirtualKey.objects.get()
    books.post("/key/delete", {"keys": [key.token_hash]})

    assert alice.post(PATH, json=CHAT).status_code == 200
    again = VirtualKey.objects.get()
    assert (again.pk, again.token_hash) == (key.pk, key.token_hash)
    assert [found["token"] for found in books.keys_of(key.user_id)] == [key.token_hash]


def test_does_not_make_a_blocked_key_again(alice: httpx.Client, books: LiteLLMBooks) -> None:
    assert alice.post(PATH, json=CHAT).status_code == 200
    key = VirtualKey.objects.get()
    books.post("/key/delete", {"keys": [key.token_hash]})
    VirtualKey.objects.update(state=VirtualKey.State.BLOCKED)

    refused = alice.post(PATH, json=CHAT)
    assert refused.json()["code"] == "policy_account_suspended"
    assert books.keys_of(key.user_id) == []
