"""The model routes of the LiteLLM stand-in, through the official client where there is one."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import Running
from tests.timing import wait_until

_HELLO: Any = [{"role": "user", "content": "hello you"}]
MakeKey = Callable[..., str]


@pytest.fixture
def admin(litellm: Running) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {litellm.credentials['LITELLM_MASTER_KEY']}"}
    with httpx.Client(base_url=litellm.url, headers=headers) as client:
        yield client


@pytest.fixture
def make_key(admin: httpx.Client) -> MakeKey:
    def make_key(**wish: Any) -> str:
        answer = admin.post("/key/generate", json={"user_id": "u1", **wish}).raise_for_status()
        return str(answer.json()["key"])

    return make_key


@pytest.fixture(params=["/v1", ""], ids=["with-v1", "without-v1"])
def client(
    litellm: Running, make_key: MakeKey, request: pytest.FixtureRequest
) -> Iterator[openai.OpenAI]:
    base_url = litellm.url + request.param
    with openai.OpenAI(api_key=make_key(), base_url=base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def chat(litellm: Running) -> Callable[..., httpx.Response]:
    def chat(key: str, model: str = "gpt-4o-mini", **members: Any) -> httpx.Response:
        body = {"model": model, "messages": _HELLO, **members}
        headers = {"authorization": f"Bearer {key}"}
        return litellm.client.post("/v1/chat/completions", json=body, headers=headers)

    return chat


Chat = Callable[..., httpx.Response]


def _error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["type"]


def test_serves_every_kind_of_model(client: openai.OpenAI) -> None:
    chat = client.chat.completions.create(model="gpt-4o-mini", messages=_HELLO)
    assert chat.choices[0].message.content == "Hello from the stub."
    assert client.completions.create(model="gpt-4o-mini", prompt="x").choices[0].text
    assert client.responses.create(model="stub-chat", input="hi").output_text == "stub says: hi"
    assert client.embeddings.create(model="emb", input="x").data[0].embedding == [0.1, 0.2, 0.3]
    images = client.images.generate(model="img", prompt="x").data
    assert images
    assert images[0].b64_json == "aGk="
    assert client.audio.speech.create(model="tts", input="x", voice="alloy").read()[:3] == b"ID3"
    heard = client.audio.transcriptions.create(model="stt", file=("a.mp3", b"sound"))
    assert heard.text == "hello world"
    assert client.moderations.create(model="mod", input="hate").results[0].flagged
    assert "stub-chat" in {model.id for model in client.models.list()}


def test_streams_with_usage_and_cost_only_when_asked(client: openai.OpenAI) -> None:
    plain = list(client.chat.completions.create(model="stub-chat", messages=_HELLO, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in plain)
    assert text == "stub says: hello you"
    assert all(chunk.usage is None for chunk in plain)
    *_, last = client.chat.completions.create(
        model="stub/s-n2", messages=_HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert last.choices == []
    assert last.usage
    assert (last.usage.total_tokens, last.usage.model_dump()["cost"]) == (30, 0.05)


def test_streams_responses(client: openai.OpenAI) -> None:
    with client.responses.stream(model="stub-chat", input="hello you") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert final.output_text == "stub says: hello you"
    assert final.usage
    assert final.usage.output_tokens == 10


def test_calls_a_tool_and_tells_what_it_returned(client: openai.OpenAI) -> None:
    asked: Any = [{"role": "user", "content": 'TOOL:add {"a": 1, "b": 2}'}]
    answer = client.chat.completions.create(model="stub-chat", messages=asked)
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    assert (calls[0].function.name, calls[0].function.arguments) == ("add", '{"a": 1, "b": 2}')
    told = [*asked, {"role": "tool", "tool_call_id": calls[0].id, "content": "3"}]
    answer = client.chat.completions.create(model="stub-chat", messages=told)
    assert answer.choices[0].message.content == "tool returned: 3"


def test_answers_anthropic_messages(litellm: Running, make_key: MakeKey) -> None:
    body = {"model": "stub-chat", "max_tokens": 9, "messages": _HELLO}
    headers = {"x-api-key": make_key()}
    whole = litellm.client.post("/v1/messages", json=body, headers=headers).json()
    assert (whole["type"], whole["content"][0]["text"]) == ("message", "stub says: hello you")
    streamed = litellm.client.post(
        "/v1/messages", json={**body, "stream": True}, headers=headers
    ).text
    assert "event: message_start" in streamed
    assert streamed.rstrip().endswith('data: {"type":"message_stop"}')


def test_reranks_up_to_the_top(litellm: Running, make_key: MakeKey) -> None:
    body = {"model": "rr", "query": "q", "documents": ["a", "b", "c"], "top_n": 2}
    headers = {"authorization": f"Bearer {make_key()}"}
    answer = litellm.client.post("/rerank", json=body, headers=headers).json()
    assert [result["index"] for result in answer["results"]] == [0, 1]


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("stub/err400", (400, "stub_error")),
        ("stub/err401", (401, "authentication_error")),
        ("stub/err404", (404, "invalid_request_error")),
        ("stub/err429", (429, "throttling_error")),
        ("stub/err500", (500, "internal_server_error")),
        ("stub/err503", (503, "internal_server_error")),
        ("stub/ctx", (400, "invalid_request_error")),
        ("nope", (400, "invalid_request_error")),
        (None, (400, "invalid_request_error")),
    ],
)
def test_tells_a_providers_errors_apart_by_type(
    chat: Chat, make_key: MakeKey, model: str | None, error: tuple[int, str]
) -> None:
    assert _error(chat(make_key(), model)) == error


def test_tells_a_providers_rate_limit_from_its_own(chat: Chat, make_key: MakeKey) -> None:
    provider = chat(make_key(), "stub/err429")
    assert provider.headers["llm_provider-retry-after"] == "7"
    assert "rate_limit_type" not in provider.headers
    key = make_key(rpm_limit=1)
    assert chat(key).status_code == 200
    own = chat(key)
    assert _error(own) == (429, "throttling_error")
    assert (own.headers["rate_limit_type"], own.headers["retry-after"]) == ("requests", "60")


def test_renews_a_rate_limit_after_a_minute(
    chat: Chat, make_key: MakeKey, litellm: Running
) -> None:
    key = make_key(tpm_limit=20)
    assert [chat(key).status_code for _ in range(2)] == [200, 429]
    litellm.client.post("/_sandbox/clock", json={"offset": 61})
    assert chat(key).status_code == 200


def test_limits_parallel_requests(chat: Chat, make_key: MakeKey) -> None:
    key = make_key(max_parallel_requests=1)
    asked = [{"role": "user", "content": "SLOW:2:0.05"}]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        stream = {"stream": True, "messages": asked}
        answers = list(pool.map(lambda _: chat(key, "stub-chat", **stream), range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["rate_limit_type"] == "max_parallel_requests"
    assert chat(key, "stub-chat").status_code == 200


def test_refuses_a_key_whose_budget_is_spent(
    chat: Chat, make_key: MakeKey, admin: httpx.Client
) -> None:
    key = make_key(max_budget=0.08, budget_duration="30d", key_alias="poor")
    assert [chat(key).status_code for _ in range(3)] == [200, 200, 422]
    refused = chat(key)
    assert _error(refused) == (422, "budget_exceeded")
    assert "Key=poor" in refused.json()["error"]["message"]
    assert admin.get("/key/info", params={"key": key}).json()["info"]["spend"] == 0.1
    admin.post("/key/update", json={"key": key, "max_budget": 10})
    assert chat(key).status_code == 200


def test_renews_a_budget_after_its_period(chat: Chat, make_key: MakeKey, litellm: Running) -> None:
    key = make_key(max_budget=0.04, budget_duration="1d")
    assert [chat(key).status_code for _ in range(2)] == [200, 422]
    litellm.client.post("/_sandbox/clock", json={"offset": 86_401})
    assert chat(key).status_code == 200


@pytest.mark.parametrize(
    ("limit", "kind"), [({"rpm_limit": 1}, "requests"), ({"tpm_limit": 20}, "tokens")]
)
def test_limits_a_user_over_all_keys(
    chat: Chat, make_key: MakeKey, admin: httpx.Client, limit: dict[str, int], kind: str
) -> None:
    admin.post("/user/new", json={"user_id": "u1", "auto_create_key": False, **limit})
    assert chat(make_key()).status_code == 200
    refused = chat(make_key())
    assert _error(refused) == (429, "throttling_error")
    assert refused.headers["rate_limit_type"] == kind
    assert "for user: u1." in refused.json()["error"]["message"]


def test_does_not_limit_a_users_parallel_requests(
    chat: Chat, make_key: MakeKey, admin: httpx.Client
) -> None:
    user = {"user_id": "u1", "auto_create_key": False, "max_parallel_requests": 0}
    admin.post("/user/new", json=user)
    assert chat(make_key()).status_code == 200


def test_counts_spending_of_all_keys_on_the_user(
    chat: Chat, make_key: MakeKey, admin: httpx.Client
) -> None:
    user = {"user_id": "u1", "max_budget": 0.06, "auto_create_key": False}
    admin.post("/user/new", json=user)
    assert chat(make_key()).status_code == 200
    assert chat(make_key()).status_code == 200
    refused = chat(make_key())
    assert _error(refused) == (422, "budget_exceeded")
    assert "User=u1 over budget" in refused.json()["error"]["message"]
    info = admin.get("/v2/user/info", params={"user_id": "u1"}).json()
    assert info["spend"] == 0.1


def test_allows_only_the_models_of_key_and_user(
    chat: Chat, make_key: MakeKey, admin: httpx.Client, litellm: Running
) -> None:
    key = make_key(models=["mock-gpt", "stub/*"])
    assert chat(key, "mock-gpt").status_code == 200
    assert chat(key, "stub/fast").status_code == 200
    assert _error(chat(key, "gpt-4o-mini")) == (403, "key_model_access_denied")
    fallbacks = {"fallbacks": ["gpt-4o-mini"]}
    assert _error(chat(key, "mock-gpt", **fallbacks)) == (403, "key_model_access_denied")
    models = litellm.client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
    assert [model["id"] for model in models.json()["data"]] == ["mock-gpt", "stub/*"]
    admin.post("/user/new", json={"user_id": "u2", "models": ["emb"], "auto_create_key": False})
    assert _error(chat(make_key(user_id="u2"))) == (403, "user_model_access_denied")


def test_answers_a_list_for_a_list_of_models(chat: Chat, make_key: MakeKey) -> None:
    answers = chat(make_key(), "mock-gpt,gpt-4o-mini").json()
    assert [answer["model"] for answer in answers] == ["mock-gpt", "gpt-4o-mini"]


@pytest.mark.parametrize("member", ["api_base", "base_url", "api_key"])
def test_refuses_another_provider(chat: Chat, make_key: MakeKey, member: str) -> None:
    assert _error(chat(make_key(), **{member: "x"})) == (401, "auth_error")


def test_gives_up_when_the_requests_own_time_is_over(chat: Chat, make_key: MakeKey) -> None:
    assert _error(chat(make_key(), "stub/slow", timeout=0.01)) == (408, "invalid_request_error")


@pytest.mark.parametrize("model", ["stub/s-n9-midfail", "stub/s-n9-miderr"])
def test_tells_of_a_broken_stream_within_it(chat: Chat, make_key: MakeKey, model: str) -> None:
    answer = chat(make_key(), model, stream=True)
    assert answer.status_code == 200
    events = answer.text.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert '"type":"internal_server_error"' in events[-2]


def test_shows_its_insides_in_headers(chat: Chat, make_key: MakeKey) -> None:
    headers = chat(make_key(max_budget=1, rpm_limit=9)).headers
    assert headers["x-litellm-model-api-base"] == "http://model-provider.internal:9999/v1"
    assert headers["x-litellm-response-cost"] == "0.05"
    assert headers["x-ratelimit-api_key-remaining-requests"] == "8"
    assert headers["llm_provider-x-request-id"] == "req_stub"


def test_logs_spending_under_the_callers_call_id(
    litellm: Running, make_key: MakeKey, admin: httpx.Client
) -> None:
    headers = {"authorization": f"Bearer {make_key()}", "x-litellm-call-id": "call-7"}
    body = {"model": "gpt-4o-mini", "messages": _HELLO, "user": "somebody"}
    answer = litellm.client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.headers["x-litellm-call-id"] == "call-7"
    (entry,) = admin.get("/spend/logs", params={"request_id": "call-7"}).json()
    assert (entry["user"], entry["end_user"], entry["spend"]) == ("u1", "somebody", 0.05)
    assert (entry["request_id"], entry["litellm_call_id"]) == (answer.json()["id"], "call-7")
    assert pages_of(admin, request_id="call-7") == pages_of(admin, user_id="u1") == [entry]
    assert pages_of(admin, user_id="u2") == []


def pages_of(admin: httpx.Client, **query: str) -> list[dict[str, Any]]:
    """Read today's spend log page by page."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    query |= {"start_date": day, "end_date": f"{day} 23:59:59", "page_size": "1"}
    first = admin.get("/spend/logs/v2", params=query).json()
    pages = range(1, first["total_pages"] + 1)
    answers = [admin.get("/spend/logs/v2", params={**query, "page": page}) for page in pages]
    return [row for answer in answers for row in answer.json()["data"]]


def test_wants_to_know_which_days_of_the_log(admin: httpx.Client) -> None:
    assert admin.get("/spend/logs/v2").status_code == 400
    day = {"start_date": "yesterday", "end_date": "2026-11-23"}
    assert admin.get("/spend/logs/v2", params=day).status_code == 400


FAILURES: dict[str, tuple[str, dict[str, Any], bool, float]] = {
    "budget": ("gpt-4o-mini", {"max_budget": 0.0}, False, 0.0),
    "model denied": ("gpt-4o-mini", {"models": ["emb"]}, False, 0.0),
    "limit": ("gpt-4o-mini", {"rpm_limit": 0}, True, 0.0),
    "provider": ("stub/err500", {}, True, 0.0),
    "model unknown": ("nonesuch", {}, True, 0.0),
    "timeout": ("stub/slow", {}, True, 0.008),
}


@pytest.mark.parametrize("what", FAILURES)
def test_logs_failed_calls(
    litellm: Running, make_key: MakeKey, admin: httpx.Client, what: str
) -> None:
    """Those that are refused for their key have no call id of the caller's yet."""
    model, members, is_named, spent = FAILURES[what]
    headers = {"authorization": f"Bearer {make_key(**members)}", "x-litellm-call-id": "call-7"}
    body = {"model": model, "messages": _HELLO, "timeout": 0.01}
    answer = litellm.client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.is_error
    assert (answer.headers.get("x-litellm-call-id") == "call-7") is is_named
    (row,) = pages_of(admin)
    assert (row["status"], row["spend"]) == ("failure", spent)
    assert (row["litellm_call_id"] == row["request_id"] == "call-7") is is_named


def test_bills_a_stream_once(chat: Chat, make_key: MakeKey, admin: httpx.Client) -> None:
    key = make_key(max_parallel_requests=1)
    for _ in range(2):
        answer = chat(key, "stub/s-n3", stream=True, stream_options={"include_usage": True})
        assert '"cost":0.05' in answer.text
    assert [row["spend"] for row in admin.get("/spend/logs").json()] == [0.05, 0.05]
    assert admin.get("/key/info", params={"key": key}).json()["info"]["spend"] == 0.1


def test_bills_what_was_sent_when_the_caller_leaves(
    litellm: Running, make_key: MakeKey, admin: httpx.Client
) -> None:
    body = {"model": "stub/s-n200-d10", "messages": _HELLO, "stream": True}
    headers = {"authorization": f"Bearer {make_key()}"}
    with litellm.client.stream(
        "POST", "/v1/chat/completions", json=body, headers=headers
    ) as answer:
        next(answer.iter_raw())

    wait_until(lambda: admin.get("/spend/logs", params={"user_id": "u1"}).json())
    (entry,) = admin.get("/spend/logs", params={"user_id": "u1"}).json()
    assert entry["status"] == "success"
    assert entry["completion_tokens"] < 20
    (request,) = litellm.requests("chat/completions")
    assert request["client_left"]


@pytest.mark.parametrize("content", [b"{", b"[]"])
def test_refuses_what_is_not_a_json_object(
    litellm: Running, make_key: MakeKey, content: bytes
) -> None:
    headers = {"authorization": f"Bearer {make_key()}"}
    answer = litellm.client.post("/v1/chat/completions", content=content, headers=headers)
    assert answer.status_code in {400, 422}
