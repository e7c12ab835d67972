from __future__ import annotations

import httpx
import pytest

from tests.conftest import Running
from tests.letta_proxy.conftest import Caller

FOREIGN = "agent-00000000-0000-4000-8000-00000000dead"


@pytest.mark.parametrize("path", ["agents", "agents/", "v1/agents", "v1/agents/"])
def test_reaches_a_collection_in_every_spelling(alice: Caller, letta: Running, path: str) -> None:
    answer = alice.raw("GET", f"/api/v1/letta/{path}")

    assert (answer.status_code, answer.json()) == (200, [])
    assert letta.requests("^/v1/agents")[-1]["path"] == "/v1/agents/"


@pytest.mark.parametrize("spelling", ["agents/{}", "agents/{}/", "v1/agents/{}", "v1/agents/{}/"])
def test_reaches_an_item_in_every_spelling(alice: Caller, letta: Running, spelling: str) -> None:
    agent_id = alice.create_agent()["id"]

    answer = alice.raw("GET", f"/api/v1/letta/{spelling.format(agent_id)}")

    assert answer.json()["id"] == agent_id
    assert letta.requests("^/v1/agents/agent-")[-1]["path"] == f"/v1/agents/{agent_id}"


@pytest.mark.parametrize(
    "path",
    [
        "v1/agents/{id}%2Fmessages",
        "v1/agents/{id}%2fmessages",
        "v1/agents%2F{id}",
        "v1/agents/..%2fmessages%2f",
        "v1/agents/%2e%2e/messages",
        "v1/agents/../messages/",
        "v1/agents/./",
        "v1/agents/{id}/../../messages",
        "v1/agents//{id}",
        "v1//messages/",
        "/messages/",
        "v1/agents/{id};a=b",
        "v1/agents/{id}%3Bx",
        "v1/agents/{id}%00",
        "v1/agents/{id}%5Cmessages",
        "v1/agents/{id}%252Fmessages",
        "v1/agents/{id}%3Fx=y",
        "v1/agents/{id}%23x",
        "v1/agents/%ff",
    ],
)
def test_refuses_a_path_that_can_be_read_in_two_ways(
    alice: Caller, letta: Running, path: str
) -> None:
    agent_id = alice.create_agent()["id"]
    before = len(letta.requests())

    answer = alice.raw("GET", f"/api/v1/letta/{path.format(id=agent_id)}")

    assert answer.status_code in {400, 403, 404}
    assert len(letta.requests()) == before


@pytest.mark.parametrize(
    "path",
    [
        "V1/agents/",
        "v1/Agents/",
        "v1/AGENTS/",
        "v1/v1/agents/",
        "latest/agents/",
        "v1/latest/agents/",
        "v1/messages",
        "v1/messages/",
        "messages/",
        "v1/admin/orgs/",
        "v1/providers/",
        "v1/agents/count",
        "v1/_internal_blocks/",
        "openapi.json",
        "docs",
        "v1/git/x",
        "v1/ready/",
        "v1/anthropic/v1/models",
    ],
)
def test_offers_nothing_outside_the_catalogue(alice: Caller, letta: Running, path: str) -> None:
    answer = alice.raw("GET", f"/api/v1/letta/{path}")

    assert answer.status_code == 403
    assert answer.json()["code"] == "policy_operation_not_offered"
    assert answer.json()["detail"].startswith("GET /")
    assert "/docs" in answer.json()["detail"]
    assert letta.requests() == []


@pytest.mark.parametrize("method", ["HEAD", "PUT", "TRACE"])
def test_offers_no_method_that_is_not_declared(alice: Caller, letta: Running, method: str) -> None:
    answer = alice.raw(method, "/api/v1/letta/v1/agents/")

    assert answer.status_code == 403
    assert letta.requests() == []


@pytest.mark.parametrize("header", ["x-http-method-override", "x-http-method", "x-method-override"])
def test_takes_the_method_from_the_request_line_alone(
    alice: Caller, letta: Running, header: str
) -> None:
    agent_id = alice.create_agent()["id"]

    alice("GET", f"/agents/{agent_id}", headers={header: "DELETE"}).raise_for_status()

    request = letta.requests(agent_id)[-1]
    assert request["method"] == "GET"
    assert header not in request["headers"]
    assert alice("GET", f"/agents/{agent_id}").status_code == 200


def test_tells_letta_itself_who_the_caller_is(alice: Caller, bob: Caller, letta: Running) -> None:
    of_alice = alice.create_agent()
    bob.create_agent()
    claims = [
        ("user_id", of_alice["created_by_id"]),
        ("user_id", of_alice["created_by_id"]),
        ("user-id", of_alice["created_by_id"]),
        ("x-user-id", of_alice["created_by_id"]),
        ("x-bare-password", "password s3cret"),
        ("x-organization-id", "org-00000000-0000-4000-8000-000000000000"),
        ("x-project-id", "x"),
        ("cookie", "a=b"),
    ]

    agents = bob("GET", "/agents/", headers=claims)

    assert of_alice["id"] not in agents.text
    sent = letta.requests("^/v1/agents/$")[-1]["headers"]
    assert sent["user_id"] != of_alice["created_by_id"]
    assert not {"user-id", "x-user-id", "x-bare-password", "x-organization-id"}.intersection(sent)
    assert not {"x-project-id", "cookie"}.intersection(sent)


def test_never_sends_the_callers_token_on(alice: Caller, letta: Running) -> None:
    alice.get("/agents/")

    token = alice.client.headers["authorization"]
    assert not [one for one in letta.requests() if one["headers"].get("authorization") == token]


def test_says_nothing_of_a_redirect(alice: Caller, letta: Running) -> None:
    letta.fault("^/v1/agents/$", status=307, headers={"location": "http://letta.internal/v1/x"})

    answer = alice("GET", "/agents/")

    assert answer.status_code == httpx.codes.BAD_GATEWAY
    assert "letta.internal" not in answer.text + str(answer.headers)
