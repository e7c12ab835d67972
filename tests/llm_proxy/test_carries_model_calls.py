from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import Running, RunningSupabase
from tests.llm_proxy.conftest import LiteLLMBooks

SignIn = Callable[..., openai.OpenAI]
HI: Any = [{"role": "user", "content": "hi"}]
CHAT = "/api/v1/llm/v1/chat/completions"
PRICED = "gpt-4o-mini"


def arrived(litellm: Running, path: str = "^/v1/") -> dict[str, Any]:
    """Return the one call that LiteLLM got."""
    (call,) = litellm.requests(path)
    return call


@pytest.mark.parametrize("base", ["/api/v1/llm/v1", "/api/v1/llm", "/api/v1/llm/v1/"])
def test_answers_with_usage(openai_for: SignIn, base: str) -> None:
    answer = openai_for(base=base).chat.completions.create(model=PRICED, messages=HI)

    assert answer.choices[0].message.content == "Hello from the stub."
    assert answer.usage is not None
    assert answer.usage.total_tokens == 30


def test_every_other_operation_answers_the_official_sdk(openai_for: SignIn) -> None:
    alice = openai_for()

    assert alice.completions.create(model=PRICED, prompt="hi").choices
    assert len(alice.embeddings.create(model="emb", input=["a", "b"]).data) == 2
    assert alice.responses.create(model=PRICED, input="hi").output_text
    assert alice.images.generate(model="img", prompt="a hill").data
    assert alice.audio.speech.create(model="tts", input="hi", voice="alloy").read()
    assert alice.audio.transcriptions.create(model="stt", file=("a.wav", b"RIFF")).text
    assert alice.moderations.create(model="mod", input="hi").results
    assert {model.id for model in alice.models.list()} >= {PRICED, "emb"}
    assert alice.models.retrieve(PRICED).id == PRICED


def test_speaks_the_languages_without_an_official_sdk(
    client_for: Callable[[str], httpx.Client],
) -> None:
    alice = client_for("alice@example.com")
    ranked = alice.post(
        "/api/v1/llm/rerank", json={"model": "rr", "query": "q", "documents": ["a", "b"]}
    )
    message = alice.post(
        "/api/v1/llm/v1/messages", json={"model": PRICED, "max_tokens": 9, "messages": HI}
    )

    assert ranked.json()["results"]
    assert message.json()["content"][0]["text"]


def test_calls_on_the_users_own_key(
    openai_for: SignIn, litellm: Running, books: LiteLLMBooks
) -> None:
    for email in ("alice@example.com", "bob@example.com", "alice@example.com"):
        openai_for(email).chat.completions.create(model=PRICED, messages=HI)

    used = [
        call["headers"]["authorization"]
        for call in litellm.requests(CHAT.removeprefix("/api/v1/llm"))
    ]
    assert used[0] == used[2] != used[1]
    assert all(key.startswith("Bearer sk-") for key in used)
    alice, bob = sorted(
        (len(keys), keys[0]["spend"]) for keys in map(books.keys_of, books.users())
    )[::-1]
    assert (alice, bob) == ((1, pytest.approx(0.1)), (1, pytest.approx(0.05)))


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
def test_takes_the_token_where_other_sdks_put_it(
    gateway: str, supabase: RunningSupabase, litellm: Running, header: str
) -> None:
    answer = httpx.post(
        gateway + CHAT, headers={header: supabase.token()}, json={"model": PRICED, "messages": HI}
    )

    assert answer.status_code == 200
    assert header not in arrived(litellm)["headers"]


def test_lets_no_header_of_the_caller_near_litellm(
    client_for: Callable[[str], httpx.Client], litellm: Running, supabase: RunningSupabase
) -> None:
    token = supabase.token()
    sent = {
        "x-api-key": "sk-stolen",
        "api-key": "sk-stolen",
        "x-litellm-api-key": "Bearer sk-stolen",
        "x-litellm-tags": "mallory",
        "x-litellm-call-id": "mallory",
        "x-litellm-end-user-id": "mallory",
        "x-goog-api-key": "sk-stolen",
        "openai-organization": "mallory",
        "cookie": "session=mallory",
        "forwarded": "for=mallory",
        "x-request-id": "request-of-alice",
        "anthropic-version": "2023-06-01",
    }
    client_for("alice@example.com").post(
        CHAT, headers=sent, json={"model": PRICED, "messages": HI}, params={"api_base": "mallory"}
    )

    call = arrived(litellm)
    names = set(call["headers"])
    assert not {"x-api-key", "api-key", "x-litellm-api-key", "cookie", "forwarded"} & names
    assert "mallory" not in json.dumps(call)
    assert "stolen" not in json.dumps(call)
    assert token not in json.dumps(call)
    assert call["headers"]["anthropic-version"] == "2023-06-01"
    assert call["query"] == ""


def test_gives_every_call_an_id_that_callers_cannot_repeat(
    client_for: Callable[[str], httpx.Client], litellm: Running
) -> None:
    alice = client_for("alice@example.com")
    for _ in range(2):
        alice.post(
            CHAT, headers={"x-request-id": "the-same-id"}, json={"model": PRICED, "messages": HI}
        )

    ids = [call["headers"]["x-litellm-call-id"] for call in litellm.requests("^/v1/")]
    assert len(set(ids)) == 2
    assert all(call_id.startswith("the-same-id-") for call_id in ids)


def test_attribution_never_arrives(openai_for: SignIn, litellm: Running) -> None:
    openai_for().chat.completions.create(
        model=PRICED,
        messages=HI,
        user="mallory",
        metadata={"tags": "mallory"},
        safety_identifier="mallory",
        store=True,
        seed=7,
    )

    assert json.loads(arrived(litellm)["body"]) == {"model": PRICED, "messages": HI, "seed": 7}


@pytest.mark.parametrize(
    "field", ["api_base", "api_key", "fallbacks", "litellm_metadata", "mock_response", "tags"]
)
def test_an_order_to_litellm_is_a_bad_request(
    openai_for: SignIn, litellm: Running, field: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_for().chat.completions.create(
            model=PRICED, messages=HI, extra_body={field: "http://127.0.0.1:9"}
        )

    assert (caught.value.code, caught.value.param) == ("policy_field_forbidden", field)
    assert litellm.requests("^/v1/") == []


def test_a_form_passes_by_its_allow_list(
    client_for: Callable[[str], httpx.Client], litellm: Running
) -> None:
    alice = client_for("alice@example.com")
    url, file = "/api/v1/llm/v1/audio/transcriptions", {"file": ("a.wav", b"RIFF" * 100)}
    good = alice.post(url, files=file, data={"model": "stt", "timestamp_granularities[]": "word"})
    bad = alice.post(url, files=file, data={"model": "stt", "litellm_metadata": "{}"})

    assert good.status_code == 200
    assert (bad.json()["code"], bad.json()["error"]["param"]) == (
        "policy_field_forbidden",
        "litellm_metadata",
    )
    first = litellm.requests("^/v1/audio")[0]
    assert b"RIFF".decode() * 100 in first["body"]


def test_shows_nothing_of_the_inside(client_for: Callable[[str], httpx.Client]) -> None:
    answer = client_for("alice@example.com").post(CHAT, json={"model": PRICED, "messages": HI})

    assert set(answer.headers) == {
        *("content-length", "content-type", "date", "server", "x-request-id"),
        *("x-litellm-call-id", "x-litellm-response-cost"),
        # For browsers.
        *("content-security-policy", "cross-origin-opener-policy", "referrer-policy"),
        *("cross-origin-resource-policy", "x-content-type-options", "x-frame-options"),
    }


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("nope", openai.NotFoundError, "caller_not_found"),
        ("stub/err400", openai.BadRequestError, "caller_field_invalid"),
        ("stub/err401", openai.InternalServerError, "upstream_credential_rejected"),
        ("stub/err429", openai.InternalServerError, "upstream_overloaded"),
        ("stub/err500", openai.InternalServerError, "upstream_failed"),
        ("stub/ctx", openai.BadRequestError, "caller_context_too_long"),
    ],
)
def test_errors_are_the_sdks_own_classes_and_tell_nothing_of_the_inside(
    openai_for: SignIn, model: str, error: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(error) as caught:
        openai_for().chat.completions.create(model=model, messages=HI)

    assert caught.value.code == code
    body = json.dumps(caught.value.response.json())
    assert not [word for word in ("litellm", "LiteLLM", "stub/", "OpenAIException") if word in body]


def test_a_spent_budget_and_a_full_minute_have_codes_of_their_own(
    openai_for: SignIn, books: LiteLLMBooks
) -> None:
    alice = openai_for()
    alice.chat.completions.create(model=PRICED, messages=HI)
    (user,) = books.users()
    (key,) = books.keys_of(user)

    books.post("/key/update", {"key": key["token"], "rpm_limit": 0})
    with pytest.raises(openai.RateLimitError) as full:
        alice.chat.completions.create(model=PRICED, messages=HI)
    books.post("/key/update", {"key": key["token"], "max_budget": 0.01, "rpm_limit": 100})
    with pytest.raises(openai.RateLimitError) as spent:
        alice.chat.completions.create(model=PRICED, messages=HI)

    assert full.value.code == "quota_rate_limited"
    assert full.value.response.headers["retry-after"] == "60"
    assert spent.value.code == "quota_budget_exhausted"
    assert spent.value.response.headers["x-should-retry"] == "false"


def test_a_model_that_litellm_denies_is_denied(openai_for: SignIn, books: LiteLLMBooks) -> None:
    alice = openai_for()
    alice.models.list()
    (user,) = books.users()
    (key,) = books.keys_of(user)
    books.post("/key/update", {"key": key["token"], "models": ["emb"]})

    with pytest.raises(openai.PermissionDeniedError) as caught:
        alice.chat.completions.create(model=PRICED, messages=HI)

    assert (caught.value.code, caught.value.param) == ("policy_model_not_allowed", "model")


def test_litellm_down_at_first_use_is_503_and_nothing_more(
    openai_for: SignIn, litellm: Running
) -> None:
    litellm.fault("^/user/new$", status=503, body={"error": {"type": "no_db_connection"}})
    with pytest.raises(openai.InternalServerError) as caught:
        openai_for().chat.completions.create(model=PRICED, messages=HI)
    assert (caught.value.status_code, caught.value.code) == (503, "upstream_unreachable")
    assert caught.value.response.headers["retry-after"] == "2"

    litellm.mend()
    assert openai_for().chat.completions.create(model=PRICED, messages=HI).choices
