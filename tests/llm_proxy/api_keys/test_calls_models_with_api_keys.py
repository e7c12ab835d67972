from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import openai
import pytest

from llm_proxy.models import ApiKey, VirtualKey
from tests.conftest import Running
from tests.llm_proxy.conftest import LiteLLMBooks
from tests.timing import wait_until

SignIn = Callable[[str], httpx.Client]
HI: Any = [{"role": "user", "content": "hi"}]
KEYS = "/api/v1/llm/keys"
CHAT = "/api/v1/llm/v1/chat/completions"
LETTA = "/api/v1/letta/v1/agents/"
PRICED = "gpt-4o-mini"  # five cents a call
SLOW = "stub/s-n200-d50"  # ten seconds


@pytest.fixture
def alice(client_for: SignIn) -> httpx.Client:
    return client_for("alice@example.com")


@pytest.fixture
def sdk(gateway: str) -> Iterator[Callable[[dict[str, Any]], openai.OpenAI]]:
    clients: list[openai.OpenAI] = []

    def use(key: dict[str, Any]) -> openai.OpenAI:
        address = f"{gateway}/api/v1/llm/v1"
        clients.append(openai.OpenAI(base_url=address, api_key=key["secret"], max_retries=0))
        return clients[-1]

    yield use
    for one in clients:
        one.close()


Use = Callable[[dict[str, Any]], openai.OpenAI]


def make(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post(KEYS, json={"name": "cron", **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def chat(client: openai.OpenAI, model: str = PRICED) -> str | None:
    return client.chat.completions.create(model=model, messages=HI).choices[0].message.content


def code_of(caught: pytest.ExceptionInfo[openai.APIStatusError]) -> tuple[int, str | None]:
    return caught.value.status_code, caught.value.code


def rest_of(stream: openai.Stream[Any]) -> tuple[str | None, float]:
    """Read a stream to its end; return the code of the error that ended it, and the seconds."""
    began = time.monotonic()
    try:
        for _ in stream:
            pass
    except openai.APIError as error:
        return error.code, time.monotonic() - began
    return None, time.monotonic() - began


def test_answers_the_official_sdk(alice: httpx.Client, sdk: Use) -> None:
    key = make(alice)

    assert chat(sdk(key)) == "Hello from the stub."


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
def test_is_taken_where_other_sdks_put_it(
    alice: httpx.Client, gateway: str, litellm: Running, header: str
) -> None:
    key = make(alice)
    answer = httpx.post(
        gateway + CHAT, headers={header: key["secret"]}, json={"model": PRICED, "messages": HI}
    )

    assert answer.status_code == 200
    assert key["secret"] not in str(litellm.requests())


def test_opens_only_what_its_scopes_say(alice: httpx.Client, gateway: str, sdk: Use) -> None:
    models, agents = make(alice, scopes=["llm"]), make(alice, scopes=["letta"])
    with pytest.raises(openai.PermissionDeniedError) as caught:
        chat(sdk(agents))
    assert code_of(caught) == (403, "policy_scope_missing")

    letta = [
        httpx.get(gateway + LETTA, headers={"authorization": f"Bearer {key['secret']}"})
        for key in (models, agents)
    ]
    assert [answer.status_code for answer in letta] == [403, 200]
    assert letta[0].json()["code"] == "policy_scope_missing"


def test_sees_the_agents_of_its_user_only(
    alice: httpx.Client, client_for: SignIn, gateway: str
) -> None:
    agent = {"model": "openai-proxy/stub-chat", "embedding": "openai/text-embedding-3-small"}
    made = alice.post(LETTA, json=agent)
    assert made.status_code == 200, made.text
    for client, seen in ((alice, [made.json()["id"]]), (client_for("bob@example.com"), [])):
        key = make(client, scopes=["letta"])
        headers = {"authorization": f"Bearer {key['secret']}"}
        agents = httpx.get(gateway + LETTA, headers=headers).json()
        assert [agent["id"] for agent in agents] == seen


def test_is_billed_apart_from_other_keys_of_its_user(
    alice: httpx.Client, sdk: Use, books: LiteLLMBooks
) -> None:
    first, second = make(alice), make(alice)
    for key in (first, first, second):
        chat(sdk(key))
    alice.post(CHAT, json={"model": PRICED, "messages": HI})

    (user_id,) = books.users()
    spent = sorted(round(key["spend"], 2) for key in books.keys_of(user_id))
    assert spent == [0.05, 0.05, 0.1]


def test_stops_at_its_own_budget(alice: httpx.Client, sdk: Use) -> None:
    key, other = make(alice, budget="0.08"), make(alice)
    for _ in range(2):  # the call that crosses the budget still succeeds
        chat(sdk(key))
    with pytest.raises(openai.RateLimitError) as caught:
        chat(sdk(key))

    assert code_of(caught) == (429, "quota_budget_exhausted")
    assert "of this API key is spent. It is renewed at 2" in caught.value.message
    assert chat(sdk(other))
    assert alice.post(CHAT, json={"model": PRICED, "messages": HI}).status_code == 200


def test_goes_on_when_its_budget_is_raised(alice: httpx.Client, sdk: Use) -> None:
    key = make(alice, budget="0.05")
    chat(sdk(key))
    with pytest.raises(openai.RateLimitError):
        chat(sdk(key))
    alice.patch(f"{KEYS}/{key['id']}", json={"budget": "1"}).raise_for_status()

    assert chat(sdk(key))


def test_calls_only_its_models(alice: httpx.Client, sdk: Use) -> None:
    key = make(alice, models=["stub/*"])

    assert chat(sdk(key), "stub/s-n3")
    with pytest.raises(openai.PermissionDeniedError) as caught:
        chat(sdk(key))
    assert code_of(caught) == (403, "policy_model_not_allowed")
    alice.patch(f"{KEYS}/{key['id']}", json={"models": [PRICED]}).raise_for_status()
    assert chat(sdk(key))


def test_ends_its_streams_in_band_within_a_second_when_revoked(
    alice: httpx.Client, sdk: Use
) -> None:
    key, other = make(alice), make(alice)
    stream = sdk(key).chat.completions.create(model=SLOW, messages=HI, stream=True)
    untouched = sdk(other).chat.completions.create(model="stub/s-n30-d50", messages=HI, stream=True)
    next(iter(stream))
    next(iter(untouched))
    alice.delete(f"{KEYS}/{key['id']}").raise_for_status()

    code, seconds = rest_of(stream)
    assert code == "caller_token_invalid"
    assert seconds < 1
    assert rest_of(untouched)[0] is None
    with pytest.raises(openai.AuthenticationError):
        chat(sdk(key))


@pytest.mark.parametrize(
    ("overlap", "model", "code"),
    [
        (0, SLOW, "caller_token_expired"),
        (1, SLOW, "caller_token_expired"),
        (60, "stub/s-n30-d50", None),
    ],
)
def test_old_streams_go_on_as_long_as_the_old_secret_does(
    alice: httpx.Client, sdk: Use, overlap: int, model: str, code: str | None
) -> None:
    key = make(alice)
    stream = sdk(key).chat.completions.create(model=model, messages=HI, stream=True)
    next(iter(stream))
    rotated = alice.post(f"{KEYS}/{key['id']}/rotate", json={"overlap_seconds": overlap}).json()

    assert rest_of(stream)[0] == code
    assert chat(sdk(rotated))


@pytest.mark.parametrize("is_stream", [True, False])
def test_takes_along_what_is_under_way_when_it_expires(
    alice: httpx.Client, sdk: Use, *, is_stream: bool
) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=5)
    key = make(alice, expires_at=ends.isoformat())
    with pytest.raises(openai.APIError) as caught:
        for _ in sdk(key).chat.completions.create(model=SLOW, messages=HI, stream=is_stream):
            pass

    assert caught.value.code == "caller_token_expired"
    assert datetime.now(UTC) >= ends


def test_keeps_its_virtual_key_when_rotated(alice: httpx.Client, sdk: Use) -> None:
    key = make(alice)
    chat(sdk(key))
    before = VirtualKey.objects.get()
    chat(sdk(alice.post(f"{KEYS}/{key['id']}/rotate").json()))

    assert VirtualKey.objects.get().token_hash == before.token_hash


def test_takes_its_virtual_key_along_when_revoked(
    alice: httpx.Client, sdk: Use, books: LiteLLMBooks
) -> None:
    key = make(alice)
    chat(sdk(key))
    (user_id,) = books.users()
    assert len(books.keys_of(user_id)) == 1
    alice.delete(f"{KEYS}/{key['id']}").raise_for_status()

    wait_until(lambda: books.keys_of(user_id) == [])
    assert ApiKey.objects.get().revoked_at is not None


def test_a_suspended_users_key_opens_nothing(
    alice: httpx.Client, sdk: Use, admin_client: Any
) -> None:
    key = make(alice)
    chat(sdk(key))
    user = ApiKey.objects.get().user
    data = {"action": "suspend", "_selected_action": [str(user.pk)], "post": "yes"}
    admin_client.post("/admin/accounts/user/", data)

    with pytest.raises(openai.PermissionDeniedError) as caught:
        chat(sdk(key))
    assert code_of(caught) == (403, "policy_account_suspended")
