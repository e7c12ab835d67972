"""Calls that the server makes: to an organization's own model, and to wherever callers point it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway_project.sandbox.letta.world import SERVER_KEY
from gateway_project.sandbox.serving import LoopbackServer
from tests.gateway_project.sandbox.letta.conftest import AGENT, Tenant
from tests.timing import wait_until

_VECTOR = [0.5] * 1535


@dataclass
class Model:
    """An OpenAI-compatible model that remembers who asked it."""

    url: str = ""
    calls: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)
    status: int = 200
    breaks_off: bool = False
    most_texts: int = 2048
    headers: dict[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ("stub-chat", "own-model")

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        asked = orjson.loads(body) if body else {}
        path = request.url.path
        self.calls.append((path, request.headers.get("authorization"), asked))
        if self.status != 200:
            return JSONResponse({"error": {"message": "no"}}, self.status, self.headers)
        if path.endswith("/models"):
            return JSONResponse({"data": [{"id": name} for name in self.models]})
        if path.endswith("/embeddings"):
            texts = asked["input"]
            if len(texts) > self.most_texts:
                return JSONResponse({"error": {"message": "too many"}}, 400)
            return JSONResponse({"data": [{"embedding": [len(text), *_VECTOR]} for text in texts]})
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        if not asked.get("stream"):
            choice = {"message": {"role": "assistant", "content": "from afar"}}
            return JSONResponse({"choices": [choice], "usage": usage})
        chunks: list[dict[str, Any]]
        chunks = [{"choices": [{"delta": {"content": word}}]} for word in ("from ", "afar")]
        if self.breaks_off:
            chunks[1:] = [{"error": {"message": "broken off", "code": "upstream_interrupted"}}]
        lines = [b"data: " + orjson.dumps(c) + b"\n\n" for c in [*chunks, {"usage": usage}]]
        return Response(b"".join(lines) + b"data: [DONE]\n\n", media_type="text/event-stream")


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    app = Starlette(routes=[Route("/{path:path}", model.answer, methods=["GET", "POST"])])
    with LoopbackServer().start(app) as server:
        model.url = f"{server.url}/v1"
        yield model


@pytest.fixture
def own(alice: Tenant, model: Model) -> str:
    """Id of an agent on a provider of its organization."""
    alice.make(
        "/v1/providers/",
        name="gateway",
        provider_type="openai",
        api_key="sk-alice",
        base_url=model.url,
    )
    assert model.calls.pop() == ("/v1/models", "Bearer sk-alice", {})
    return alice.agent(embedding="gateway/text-embedding-3-small")


def test_lets_an_organizations_models_shadow_the_base(
    alice: Tenant, own: str, model: Model
) -> None:
    listed = {m["handle"]: m for m in alice.http.get("/v1/models/").json()}
    assert listed["openai-proxy/stub-chat"]["provider_category"] == "byok"
    assert listed["openai-proxy/own-model"]["model_endpoint"] == model.url
    assert listed["openai-proxy/gpt-4o-mini"]["provider_category"] == "base"
    config = alice.http.get(f"/v1/agents/{own}").json()["llm_config"]
    assert (config["provider_name"], config["model_endpoint"]) == ("gateway", model.url)


def test_asks_the_organizations_model_with_its_key(alice: Tenant, own: str, model: Model) -> None:
    answer = alice.send(own, "hello").json()
    assert answer["messages"][0]["content"] == "from afar"
    assert answer["usage"]["total_tokens"] == 10
    path, authorization, asked = model.calls.pop()
    assert (path, authorization) == ("/v1/chat/completions", "Bearer sk-alice")
    assert (asked["model"], asked["user"]) == ("stub-chat", alice.user_id)
    assert asked["messages"][-1] == {"role": "user", "content": "hello"}


def test_streams_from_the_organizations_model(alice: Tenant, own: str, model: Model) -> None:
    events = alice.stream(own, "hello", stream_tokens=True)
    words = [e["content"] for e in events if e["message_type"] == "assistant_message"]
    assert words == ["from ", "afar"]
    assert model.calls[-1][2]["stream_options"] == {"include_usage": True}


def test_reports_a_model_whose_stream_ends_with_an_error(
    alice: Tenant, own: str, model: Model
) -> None:
    model.breaks_off = True
    events = alice.stream(own, "hello", stream_tokens=True)
    assert [e["content"] for e in events if "content" in e] == ["from "]
    assert next(e for e in events if "stop_reason" in e)["stop_reason"] == "llm_api_error"
    (error,) = [e for e in events if "error_type" in e]
    assert (error["error_type"], "broken off" in error["detail"]) == ("llm_error", True)


@pytest.mark.parametrize(("status", "answered"), [(402, 402), (429, 429), (500, 500)])
def test_reports_what_the_organizations_model_refuses(
    alice: Tenant, own: str, model: Model, status: int, answered: int
) -> None:
    model.status = status
    answer = alice.send(own, "hello")
    assert answer.status_code == answered
    assert str(status) in answer.json()["error"]["detail"]


def test_embeds_with_the_servers_own_key(alice: Tenant, own: str, model: Model) -> None:
    alice.http.post(f"/v1/agents/{own}/archival-memory", json={"text": "x"}).raise_for_status()
    path, authorization, _ = model.calls.pop()
    assert (path, authorization) == ("/v1/embeddings", f"Bearer {SERVER_KEY}")
    model.status = 401
    answer = alice.http.post(f"/v1/agents/{own}/archival-memory", json={"text": "x"})
    assert (answer.status_code, answer.json()["detail"]) == (500, "An unknown error occurred")


@pytest.mark.parametrize(
    ("refusal", "calls"),
    [
        ((429, {}), 3),
        ((503, {}), 3),
        ((429, {"x-should-retry": "false"}), 1),
        ((503, {"x-should-retry": "false"}), 1),
        ((402, {}), 1),
        ((403, {}), 1),
    ],
)
def test_asks_a_model_again_unless_told_not_to(
    alice: Tenant, own: str, model: Model, refusal: tuple[int, dict[str, str]], calls: int
) -> None:
    model.status, model.headers = refusal
    alice.send(own, "hello")
    assert len(model.calls) == calls


def test_asks_for_vectors_twelve_times_before_it_gives_up(
    alice: Tenant, own: str, model: Model
) -> None:
    model.status, model.headers = 429, {"x-should-retry": "false"}
    alice.http.post(f"/v1/agents/{own}/archival-memory", json={"text": "x"})
    assert len(model.calls) == 12


@pytest.mark.parametrize(("most", "asked"), [(2048, [5]), (2, [5, 2, 3, 1, 2])])
def test_asks_for_many_vectors_at_once_and_for_fewer_when_refused(
    alice: Tenant, own: str, model: Model, most: int, asked: list[int]
) -> None:
    model.most_texts = most
    first = alice.http.post(f"/v1/agents/{own}/archival-memory", json={"text": "x"}).json()
    model.calls.clear()

    passages = [{"text": "x" * number} for number in range(1, 6)]
    path = f"/v1/archives/{first[0]['archive_id']}/passages/batch"
    made = alice.http.post(path, json={"passages": passages}).raise_for_status().json()

    assert [len(body["input"]) for _, _, body in model.calls] == asked
    assert [(len(row["text"]), row["embedding"][0]) for row in made] == [
        (number, number) for number in range(1, 6)
    ]


def provider_of(tenant: Tenant) -> dict[str, Any]:
    (provider,) = tenant.http.get("/v1/providers/?name=gateway").json()
    return dict(provider)


def handles(tenant: Tenant) -> list[str]:
    listed = tenant.http.get("/v1/models/?provider_name=gateway").json()
    return [model["handle"] for model in listed]


@pytest.mark.usefixtures("own")
def test_brings_no_model_back_until_its_provider_is_made_again(alice: Tenant, model: Model) -> None:
    provider = provider_of(alice)
    path = f"/v1/providers/{provider['id']}"
    assert handles(alice) == ["openai-proxy/stub-chat", "openai-proxy/own-model"]

    for model.models in (("stub-chat",), ("stub-chat", "own-model")):
        alice.http.patch(f"{path}/refresh").raise_for_status()
        assert handles(alice) == ["openai-proxy/stub-chat"]

    alice.http.delete(path).raise_for_status()
    assert handles(alice) == []
    again = {"name": "gateway", "provider_type": "openai", "api_key": "x", "base_url": model.url}
    assert alice.make("/v1/providers/", **again)["id"] == provider["id"]
    assert handles(alice) == ["openai-proxy/stub-chat", "openai-proxy/own-model"]


@pytest.mark.usefixtures("own")
def test_keeps_its_models_when_a_provider_does_not_answer(alice: Tenant, model: Model) -> None:
    provider = provider_of(alice)
    model.status = 503
    answer = alice.http.patch(f"/v1/providers/{provider['id']}/refresh")
    assert (answer.status_code, answer.json()["last_synced"]) == (200, provider["last_synced"])
    assert len(handles(alice)) == 2


def test_keeps_agents_at_the_address_that_they_were_made_with(
    alice: Tenant, own: str, model: Model
) -> None:
    provider = provider_of(alice)
    moved = {"api_key": "sk-newer", "base_url": f"{model.url}/elsewhere"}
    alice.http.patch(f"/v1/providers/{provider['id']}", json=moved).raise_for_status()

    alice.send(own, "hello")
    assert model.calls.pop()[:2] == ("/v1/chat/completions", "Bearer sk-newer")

    alice.http.patch(f"/v1/agents/{own}", json={"context_window_limit": 9000}).raise_for_status()
    alice.send(own, "hello")
    assert model.calls.pop()[:2] == ("/v1/elsewhere/chat/completions", "Bearer sk-newer")


def test_gives_its_own_key_to_an_endpoint_that_a_caller_names(
    alice: Tenant, model: Model, server: httpx.Client
) -> None:
    agent_id = alice.agent()
    config = {"model": "m", "model_endpoint": model.url, "context_window": 1000, "handle": "x/y"}
    alice.http.patch(f"/v1/agents/{agent_id}", json={"llm_config": config}).raise_for_status()
    alice.send(agent_id, "hello")
    assert model.calls.pop()[1] == f"Bearer {SERVER_KEY}"
    (fetched,) = server.get("/_sandbox/fetched").json()
    assert (fetched["url"], fetched["why"]) == (model.url, "model_endpoint")


def test_really_calls_nothing_beyond_this_machine(alice: Tenant, server: httpx.Client) -> None:
    url = "http://model.example.com/v1"
    config = {"model": "m", "model_endpoint": url, "context_window": 1000}
    agent_id = alice.make("/v1/agents/", **AGENT, llm_config=config)["id"]
    answer = alice.send(agent_id, "hello")
    assert "Failed to connect" in answer.json()["error"]["detail"]
    assert [f["url"] for f in server.get("/_sandbox/fetched").json()] == [url]


def test_fetches_images_and_calls_back_wherever_told(
    alice: Tenant, model: Model, server: httpx.Client
) -> None:
    agent_id = alice.agent()
    image = {"type": "image", "source": {"type": "url", "url": f"{model.url}/x.png"}}
    parts = [{"type": "text", "text": "see"}, image]
    body = {
        "messages": [{"role": "user", "content": parts}],
        "callback_url": f"{model.url}/callback",
    }
    run = alice.make(f"/v1/agents/{agent_id}/messages/async", **body)
    wait_until(lambda: len(model.calls) == 2)
    assert [call[0] for call in model.calls] == ["/v1/x.png", "/v1/callback"]
    assert model.calls[1][2] == {"run_id": run["id"], "status": "completed"}
    why = [fetched["why"] for fetched in server.get("/_sandbox/fetched").json()]
    assert why == ["image", "callback_url"]
