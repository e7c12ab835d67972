"""What Letta sends, goes on; what comes back is what Letta can work with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import User
from accounts.plans.models import UserPlan
from accounts.plans.services import save_user_plan
from gateway_core import access
from gateway_core.context import RequestRecord
from letta_proxy.models import Kind, OwnedResource
from tests.conftest import Running
from tests.llm_proxy.agent_proxy.conftest import MODEL, Agents
from tests.llm_proxy.conftest import LiteLLMBooks

AGENT = "agent-0b8f2c1e-8d0a-4a53-9d0a-1f2e3d4c5b6a"
# As Letta 0.16.8 sends them (measured, and read in its openai_client.py).
OF_LETTA: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You are …"},
        {"role": "user", "content": "hi"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "tool_choice": "auto",
    "user": "user-4fd96b99-b0f5-4977-a2f1-587dd33cfd05",
    "max_completion_tokens": 16384,
    "temperature": 1.0,
    "parallel_tool_calls": False,
    "frequency_penalty": 1.0,
    "reasoning_effort": "minimal",
    "verbosity": "low",
    "service_tier": "priority",
    "response_format": {"type": "text"},
    "prompt_cache_retention": "24h",
    "chat_template_args": {"enable_thinking": True},
    "logprobs": True,
    "top_logprobs": 2,
}


@pytest.fixture
def records() -> Iterator[list[RequestRecord]]:
    seen: list[RequestRecord] = []
    access.sinks.append(seen.append)
    yield seen
    access.sinks.remove(seen.append)


def sent(litellm: Running, path: str) -> dict[str, Any]:
    (request,) = litellm.requests(path)
    body: dict[str, Any] = json.loads(request["body"])
    return body


def limit(user: Agents, **limits: Any) -> None:
    by = User.objects.get(pk=user.user_id)
    save_user_plan(user_plan=UserPlan(user_id=user.user_id, **limits), by=by)


def test_passes_on_all_that_letta_sends_but_for_attribution(
    alice: Agents, litellm: Running
) -> None:
    assert alice.call(**OF_LETTA).status_code == 200

    expected = {"model": MODEL, **OF_LETTA}
    del expected["user"], expected["chat_template_args"]
    assert sent(litellm, "chat/completions$") == expected


def test_answers_a_conversation_at_the_plain_address(alice: Agents, litellm: Running) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    in_path = alice.gateway.post(f"{alice.base}/{alice.secret}", json=body)
    bearer = {"authorization": f"Bearer {alice.secret}"}
    as_bearer = alice.gateway.post(alice.base, json=body, headers=bearer)
    nobody = alice.gateway.post(alice.base, json=body)

    assert [one.status_code for one in (in_path, as_bearer, nobody)] == [200, 200, 401]
    assert in_path.json()["choices"] == as_bearer.json()["choices"]
    assert len(litellm.requests("chat/completions$")) == 2


def test_passes_on_the_responses_api(alice: Agents, litellm: Running) -> None:
    body = {
        "model": MODEL,
        "input": [{"role": "user", "content": "hi"}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 10,
        "reasoning": {"effort": "low", "summary": "detailed"},
        "user": "user-1",
    }
    answer = alice.gateway.post(f"{alice.base}/{alice.secret}/responses", json=body)

    assert answer.status_code == 200
    del body["user"]
    assert sent(litellm, "responses$") == body


def test_streams(alice: Agents) -> None:
    answer = alice.call(stream=True, stream_options={"include_usage": True})

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert '"usage"' in answer.text


def test_refuses_what_agents_have_no_use_for(alice: Agents) -> None:
    for path in ("/images/generations", "/completions", "/audio/speech", "/v1/models", "/key/info"):
        answer = alice.call(path)
        assert (path, answer.status_code) == (path, 404)
    answer = alice.gateway.get(f"{alice.base}/{alice.secret}/chat/completions")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


# -- the list of models


def listed(agents: Agents) -> list[str]:
    answer = agents.gateway.get(f"{agents.base}/{agents.secret}/models").raise_for_status()
    return [model["id"] for model in answer.json()["data"]]


def test_lists_every_model_to_think_with(alice: Agents) -> None:
    names = listed(alice)

    assert {MODEL, "gpt-4o-mini", "sandbox-chat"} <= set(names)
    assert not {"emb", "tts", "img", "rr", "text-embedding-3-small"} & set(names)
    assert not [name for name in names if "*" in name]


def test_lists_what_the_users_plan_allows_only(alice: Agents) -> None:
    assert MODEL in listed(alice)

    limit(alice, allowed_models=["gpt-*", "stub/fast"])

    assert listed(alice) == ["gpt-4o-mini", "stub/fast"]


# -- errors


def test_says_budget_exhausted_and_not_to_repeat_it(alice: Agents, books: LiteLLMBooks) -> None:
    assert alice.call().status_code == 200
    (key,) = books.keys_of(alice.user_id)
    books.post("/key/update", {"key": key["token"], "max_budget": key["spend"]})

    answer = alice.call()

    problem = answer.json()
    assert answer.status_code == 429
    assert problem["code"] == problem["error"]["code"] == "quota_budget_exhausted"
    assert answer.headers.get_list("x-should-retry") == ["false"]


@pytest.mark.parametrize("text", ["ERR:429", "ERR:500", "ERR:503", "ERR:401", "CTX"])
def test_has_letta_repeat_no_call_that_a_model_has_seen(alice: Agents, text: str) -> None:
    answer = alice.call(messages=[{"role": "user", "content": text}])

    assert answer.is_error
    assert answer.headers.get_list("x-should-retry") == ["false"]


def test_lets_letta_repeat_what_has_reached_nobody(alice: Agents, litellm: Running) -> None:
    alice.call()
    away = {"error": {"type": "no_db_connection"}}
    litellm.fault("completions|embeddings", status=503, body=away)

    answer = alice.call()
    embeddings = alice.gateway.post(
        f"{alice.base}/{alice.secret}/embeddings", json={"model": "emb", "input": "x"}
    )

    for one in (answer, embeddings):
        assert (one.status_code, one.json()["code"]) == (503, "upstream_unreachable")
    assert "x-should-retry" not in answer.headers
    # These it repeats in any case, ten times and more.
    assert embeddings.headers["x-should-retry"] == "false"


def test_tells_letta_in_its_words_that_a_conversation_is_too_long(alice: Agents) -> None:
    answer = alice.call(messages=[{"role": "user", "content": "CTX"}])

    assert answer.status_code == 400
    assert answer.json()["code"] == "caller_context_too_long"
    assert "context_length_exceeded" in answer.json()["error"]["message"]


# -- the books


def test_notes_the_agent_when_it_is_the_users(alice: Agents, records: list[RequestRecord]) -> None:
    own = OwnedResource(user_id=alice.user_id, kind=Kind.AGENT, upstream_id=AGENT)
    own.save()

    assert alice.call(f"/agents/{AGENT}/chat/completions").status_code == 200
    assert alice.call_as_bearer(f"/agents/{AGENT}/chat/completions").status_code == 200

    assert [record.facts.get("agent") for record in records[-2:]] == [AGENT, AGENT]
    assert {record.route for record in records[-2:]} == {"agents"}
    assert records[-1].user_id == str(alice.user_id)
    assert records[-1].operation == "chat/completions"
    assert records[-1].facts["model"] == MODEL


def test_notes_no_agent_of_somebody_elses(
    alice: Agents, bob: Agents, records: list[RequestRecord]
) -> None:
    OwnedResource(user_id=bob.user_id, kind=Kind.AGENT, upstream_id=AGENT).save()

    for agent_id in (AGENT, "agent-of-nobody", "%00"):
        assert alice.call(f"/agents/{agent_id}/chat/completions").status_code == 200
        assert "agent" not in records[-1].facts


# -- the secret


def test_shows_the_secret_to_nobody(
    alice: Agents, records: list[RequestRecord], litellm: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    secret, base = alice.secret, alice.base
    encoded = "%67" + secret[1:]
    answers = [
        alice.gateway.request(method, target)
        for method in ("GET", "POST")
        for target in (
            f"{base}/{secret}/chat/completions",
            f"{base}/{secret}/models",
            f"{base}/{secret}",
            f"{base}/{secret}/nothing",
            f"{base}/x/{secret}/chat",
            f"{base}//{secret}/models",
            f"{base}/%2567{secret[1:]}/models",
            f"{base}/{encoded}/models",
            f"{base}%2F{secret}/models",
            f"/api/v1/agents/proxy/{secret}/models",
            f"/api/v1/{secret}/chat",
            f"/{secret}",
            f"/api/v1/llm/{secret}",
            f"/api/v1/letta/agents/{secret}",
        )
    ]
    alice.call_as_bearer()

    seen = [answer.text + str(answer.headers) for answer in answers]
    seen += [repr(record) for record in records]
    seen.append("".join(capfd.readouterr()))
    seen.append(str([request["path"] for request in litellm.requests()]))
    seen.append(alice.gateway.get("/metrics").text)
    for text in seen:
        assert secret[8:] not in text


def test_shows_no_secret_of_litellms(alice: Agents, litellm: Running) -> None:
    answer = alice.gateway.get(f"{alice.base}/{alice.secret}/models")

    assert litellm.credentials["LITELLM_MASTER_KEY"] not in answer.text + str(answer.headers)
