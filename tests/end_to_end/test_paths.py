"""Paths with and without version and last slash reach the same thing, with no redirect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.models import PRICED, say

if TYPE_CHECKING:
    import httpx
    from letta_client.types import AgentState


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("version", ["", "/v1"])
def test_reaches_every_path_in_every_spelling(
    alice_http: httpx.Client, agent: AgentState, version: str, slash: str
) -> None:
    for path in (
        "llm{}/models",
        "letta{}/agents",
        "letta{}/folders",
        "letta{}/models",
        "letta{}/tools",
        f"letta{{}}/agents/{agent.id}",
        f"letta{{}}/agents/{agent.id}/messages",
        f"letta{{}}/agents/{agent.id}/core-memory/blocks",
    ):
        url = f"/api/v1/{path.format(version)}{slash}"

        assert (url, alice_http.get(url).status_code) == (url, 200)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("version", ["", "/v1"])
def test_takes_a_post_in_every_spelling(alice_http: httpx.Client, version: str, slash: str) -> None:
    answer = alice_http.post(
        f"/api/v1/llm{version}/chat/completions{slash}",
        json={"model": PRICED, "messages": say("hi")},
    )

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "agents/{}%2Fmessages",
        "agents/..%2fadmin%2forgs/",
        "agents//{}",
        "agents/%2e%2e/admin/orgs",
        "../admin/orgs",
    ],
)
def test_refuses_a_path_that_can_be_read_in_two_ways(
    alice_http: httpx.Client, agent: AgentState, path: str
) -> None:
    answer = alice_http.get(f"/api/v1/letta/v1/{path.format(agent.id)}")

    assert answer.status_code in {400, 403, 404}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "v1/messages/"),
        ("GET", "v1/admin/orgs/"),
        ("POST", "v1/admin/users/"),
        ("GET", "v1/providers/"),
        ("POST", "v1/tools/run"),
        ("POST", "v1/tools/"),
        ("GET", "latest/agents/"),
        ("GET", "v1/_internal_blocks/"),
        ("GET", "v1/sandbox-config/"),
        ("POST", "v1/mcp-servers/"),
        ("GET", "v1/agents/count"),
        ("GET", "openapi.json"),
        ("GET", "v1/git/x"),
        ("POST", "v1/anthropic/v1/messages"),
    ],
)
def test_offers_nothing_that_reaches_beyond_the_user(
    alice_http: httpx.Client, method: str, path: str
) -> None:
    answer = alice_http.request(method, f"/api/v1/letta/{path}", json={})

    assert answer.status_code in {403, 404}
    assert answer.json()["code"] in {"policy_operation_not_offered", "caller_not_found"}
