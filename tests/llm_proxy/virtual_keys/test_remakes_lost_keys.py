from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from llm_proxy.models import VirtualKey
from tests.conftest import Running
from tests.llm_proxy.conftest import LiteLLMBooks

CHAT = {"model": "sandbox-chat", "messages": [{"role": "user", "content": "hello"}]}
PATH = "/api/v1/llm/chat/completions"


@pytest.fixture
def alice(client_for: Callable[[str], httpx.Client]) -> httpx.Client:
    return client_for("alice@example.com")


def lose(books: LiteLLMBooks) -> VirtualKey:
    """Have LiteLLM delete the only key there is, and return its row."""
    key = VirtualKey.objects.get()
    books.post("/key/delete", {"keys": [key.token_hash]})
    return key


def test_makes_a_key_again_that_litellm_has_lost(
    alice: httpx.Client, books: LiteLLMBooks, litellm: Running
) -> None:
    assert alice.post(PATH, json=CHAT).status_code == 200
    key = lose(books)

    assert alice.post(PATH, json=CHAT).status_code == 200
    again = VirtualKey.objects.get()
    assert (again.pk, again.token_hash) == (key.pk, key.token_hash)
    assert [found["token"] for found in books.keys_of(key.user_id)] == [key.token_hash]
    *_, refused, served = litellm.requests("chat/completions$")
    ids = [call["headers"]["x-litellm-call-id"] for call in (refused, served)]
    assert len(set(ids)) == 2  # LiteLLM drops what it has seen before


def test_a_key_that_was_given_an_end_goes_on_after_it(
    alice: httpx.Client, books: LiteLLMBooks
) -> None:
    assert alice.post(PATH, json=CHAT).status_code == 200
    key = VirtualKey.objects.get()
    books.post("/key/update", {"key": key.token_hash, "duration": "0s"})

    assert alice.post(PATH, json=CHAT).status_code == 200
    (again,) = books.keys_of(key.user_id)
    assert (again["token"], again["expires"]) == (key.token_hash, None)


def test_a_stream_does_not_notice_that_the_key_was_lost(
    alice: httpx.Client, books: LiteLLMBooks
) -> None:
    assert alice.post(PATH, json=CHAT).status_code == 200
    lose(books)
    with alice.stream("POST", PATH, json={**CHAT, "stream": True}) as answer:
        assert answer.status_code == 200
        assert answer.read().endswith(b"data: [DONE]\n\n")


def test_makes_a_user_again_whom_litellm_has_lost(alice: httpx.Client, books: LiteLLMBooks) -> None:
    assert alice.post(PATH, json=CHAT).status_code == 200
    key = VirtualKey.objects.get()
    books.post("/user/delete", {"user_ids": [str(key.user_id)]})

    assert alice.post(PATH, json=CHAT).status_code == 200
    assert books.get("/v2/user/info", user_id=key.user_id)["max_budget"] == 10


def test_many_calls_at_once_make_a_lost_key_again_once(
    alice: httpx.Client, books: LiteLLMBooks
) -> None:
    assert alice.post(PATH, json=CHAT).status_code == 200
    key = lose(books)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: alice.post(PATH, json=CHAT), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert [found["token"] for found in books.keys_of(key.user_id)] == [key.token_hash]


def test_tries_once_more_and_then_says_that_it_may_be_repeated(
    alice: httpx.Client, litellm: Running
) -> None:
    assert alice.post(PATH, json=CHAT).status_code == 200
    lost = {"status": 401, "body": {"error": {"type": "token_not_found_in_db", "param": "key"}}}
    before = len(litellm.requests("chat/completions$"))
    litellm.fault("chat/completions$", **lost)
    answer = alice.post(PATH, json=CHAT)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["retryable"] is True
    assert len(litellm.requests("chat/completions$")) == before + 2
    litellm.mend()
    assert alice.post(PATH, json=CHAT).status_code == 200


def test_an_upload_that_met_a_lost_key_can_be_repeated(
    alice: httpx.Client, books: LiteLLMBooks
) -> None:
    assert alice.post(PATH, json=CHAT).status_code == 200
    lose(books)
    form: dict[str, Any] = {"model": (None, "stt"), "file": ("a.mp3", b"sound")}
    assert alice.post("/api/v1/llm/audio/transcriptions", files=form).status_code == 503
    assert alice.post("/api/v1/llm/audio/transcriptions", files=form).status_code == 200


def test_does_not_make_a_blocked_key_again(alice: httpx.Client, books: LiteLLMBooks) -> None:
    assert alice.post(PATH, json=CHAT).status_code == 200
    key = lose(books)
    VirtualKey.objects.update(state=VirtualKey.State.BLOCKED)

    refused = alice.post(PATH, json=CHAT)
    assert refused.json()["code"] == "policy_account_suspended"
    assert books.keys_of(key.user_id) == []


def test_a_call_on_a_key_that_is_being_replaced_goes_out_on_the_new_one(
    alice: httpx.Client, books: LiteLLMBooks
) -> None:
    """This process has not heard of it yet, and LiteLLM has deleted the old key already."""
    assert alice.post(PATH, json=CHAT).status_code == 200
    old = lose(books)
    VirtualKey.objects.update(state=VirtualKey.State.RETIRING)

    assert alice.post(PATH, json=CHAT).status_code == 200
    new = VirtualKey.objects.exclude(pk=old.pk).get()
    assert [found["token"] for found in books.keys_of(new.user_id)] == [new.token_hash]
