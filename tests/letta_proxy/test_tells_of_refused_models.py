"""What an agent's model was refused for comes out at whoever has sent the message."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from accounts.models import User
from gateway_core.errors import Code
from gateway_core.problem import as_problem
from letta_proxy.observe import StreamObserver
from letta_proxy.told import error_of, refusal_in, told
from letta_proxy.translate import meaning
from tests.conftest import Running
from tests.letta_proxy.conftest import EMBEDDING, Caller
from tests.timing import wait_until

# As Letta 0.16.8 tells it on (measured).
TOLD = (
    "RATE_LIMIT_EXCEEDED: Rate limited by OpenAI: Error code: 429 - {'type': "
    "'urn:gateway:error:quota_budget_exhausted', 'title': 'x', 'code': 'quota_budget_exhausted'}"
)


@pytest.fixture
def poor(alice: Caller, litellm: Running) -> Caller:
    """Alice, whose agent has spent all that she has."""
    agent_id = alice.create_agent()["id"]
    alice.say(agent_id)
    user = User.objects.get(email="alice@example.com")
    headers = {"authorization": f"Bearer {litellm.credentials['LITELLM_MASTER_KEY']}"}
    query: dict[str, str] = {"user_id": str(user.pk), "return_full_object": "true"}
    (key,) = litellm.client.get("/key/list", params=query, headers=headers).json()["keys"]
    limit = {"key": key["token"], "max_budget": key["spend"]}
    litellm.client.post("/key/update", json=limit, headers=headers).raise_for_status()
    return alice


def only_agent(caller: Caller) -> str:
    (agent,) = caller.get("/agents/")
    return str(agent["id"])


def is_exhausted(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["code"]) == (429, "quota_budget_exhausted")


def test_says_that_the_budget_is_spent(poor: Caller, litellm: Running) -> None:
    before = len(litellm.requests("completions$"))
    answer = poor("POST", f"/agents/{only_agent(poor)}/messages", json={"input": "hi"})

    assert is_exhausted(answer)
    assert answer.headers["x-should-retry"] == "false"
    assert "Error code" not in answer.text
    assert len(litellm.requests("completions$")) == before + 1


@pytest.mark.parametrize("tokens", [True, False])
def test_says_it_in_a_stream(poor: Caller, tokens: bool) -> None:  # noqa: FBT001
    body = {"input": "hi", "stream_tokens": tokens}
    answer = poor("POST", f"/agents/{only_agent(poor)}/messages/stream", json=body)

    *_, last = answer.text.rstrip().split("\n\n")
    assert last.startswith("event: error\ndata: {")
    assert '"code":"quota_budget_exhausted"' in last
    assert "Error code" not in answer.text


def test_says_it_of_what_needs_vectors(poor: Caller) -> None:
    agent_id = only_agent(poor)
    archive = poor.post("/archives/", json={"name": "a", "embedding": EMBEDDING})

    assert is_exhausted(poor("POST", f"/agents/{agent_id}/archival-memory", json={"text": "x"}))
    assert is_exhausted(poor("GET", f"/agents/{agent_id}/archival-memory/search?query=x"))
    assert is_exhausted(poor("POST", f"/archives/{archive['id']}/passages", json={"text": "x"}))


def test_blames_the_budget_for_nothing_else(poor: Caller, bob: Caller, letta: Running) -> None:
    agent_id = only_agent(poor)
    assert is_exhausted(poor("POST", f"/agents/{agent_id}/archival-memory", json={"text": "x"}))
    letta.fault("^/v1/agents/$", status=500, body={"detail": "An unknown error occurred"})

    for caller in (poor, bob):
        assert caller("GET", "/agents/").json()["code"] == "upstream_failed"


def test_says_it_of_a_file(poor: Caller) -> None:
    folder = poor.post("/folders/", json={"name": "docs", "embedding": EMBEDDING})
    path = f"/folders/{folder['id']}"
    poor.post(f"{path}/upload", files={"file": ("a.txt", b"hello", "text/plain")})

    wait_until(lambda: poor.get(f"{path}/files")[0]["processing_status"] == "error")
    (file,) = poor.get(f"{path}/files")
    assert file["error_message"].startswith("quota_budget_exhausted: The budget")
    assert poor.get(f"{path}/files/{file['id']}")["error_message"] == file["error_message"]


def test_says_it_of_a_run_in_the_background(poor: Caller) -> None:
    run = poor.post(f"/agents/{only_agent(poor)}/messages/async", json={"input": "hi"})

    wait_until(lambda: poor.get(f"/runs/{run['id']}")["status"] == "failed")
    error = poor.get(f"/runs/{run['id']}")["metadata"]["error"]
    assert error["code"] == "quota_budget_exhausted"
    assert "Error code" not in str(error)


@pytest.mark.parametrize(
    ("code", "status", "meant"),
    [
        (Code.QUOTA_BUDGET_EXHAUSTED, 429, Code.QUOTA_BUDGET_EXHAUSTED),
        (Code.QUOTA_RATE_LIMITED, 429, Code.QUOTA_RATE_LIMITED),
        (Code.QUOTA_TOO_MANY_CONCURRENT, 429, Code.QUOTA_TOO_MANY_CONCURRENT),
        (Code.POLICY_MODEL_NOT_ALLOWED, 403, Code.POLICY_MODEL_NOT_ALLOWED),
        (Code.POLICY_ACCOUNT_SUSPENDED, 403, Code.POLICY_ACCOUNT_SUSPENDED),
        (Code.CALLER_NOT_FOUND, 404, Code.CALLER_NOT_FOUND),
        (Code.CALLER_TOKEN_INVALID, 502, Code.UPSTREAM_CREDENTIAL_REJECTED),
        (Code.UPSTREAM_UNREACHABLE, 503, Code.UPSTREAM_UNREACHABLE),
        (Code.UPSTREAM_OVERLOADED, 503, Code.UPSTREAM_OVERLOADED),
        (Code.UPSTREAM_INTERRUPTED, 502, Code.UPSTREAM_FAILED),
        (Code.GATEWAY_OVERLOADED, 502, Code.UPSTREAM_FAILED),
    ],
)
def test_knows_the_gateways_errors_again(code: Code, status: int, meant: Code) -> None:
    text = TOLD.replace("quota_budget_exhausted", code)
    body = b'{"error": {"type": "llm_error", "message": "x", "detail": "%s"}}' % text.encode()

    error = meaning(500, {}, body)

    assert (error.status, error.code) == (status, meant)
    assert as_problem(error, "x")["detail"]
    frame = b'event: error\ndata: {"message_type":"error_message","error_type":"llm_error",'
    frame += b'"detail":"%s"}\n\n' % text.encode()
    with pytest.raises(Exception, match=meant):
        StreamObserver(record=None).feed(frame)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [Code.CALLER_FIELD_INVALID, Code.POLICY_RULE_DENIED])
def test_says_nothing_for_what_was_lettas_making(code: Code) -> None:
    assert error_of(code) is None


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        ({"detail": TOLD}, "quota_budget_exhausted"),
        (TOLD, "quota_budget_exhausted: "),
        ({"detail": "Error code: 500 - OpenAI"}, None),
        ("Error code: 500 - OpenAI", None),
        ("urn:gateway:error:nonsense", None),
        (None, None),
    ],
)
def test_keeps_of_a_failure_what_the_gateway_has_said(failure: Any, shown: str | None) -> None:
    kept = told(failure)

    if shown is None:
        assert kept is None
    else:
        assert shown in str(kept)
        assert "Error code" not in str(kept)


def test_reads_no_code_out_of_words() -> None:
    assert refusal_in("quota_budget_exhausted") is None
