"""Two tenants on the stand-in: each a user in an organization of their own, with base tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
import pytest
from letta_client import Letta

from tests.conftest import Running

AGENT = {
    "name": "an agent",
    "model": "openai-proxy/stub-chat",
    "embedding": "openai/text-embedding-3-small",
    "memory_blocks": [{"label": "human", "value": "Name: Ann"}],
}


@dataclass
class Tenant:
    """A user of an organization, with an HTTP client and an official SDK that act as them."""

    user_id: str
    organization_id: str
    http: httpx.Client

    @cached_property
    def sdk(self) -> Letta:
        """The official SDK; only the address, the key and the user's header are set."""
        _, _, password = self.http.headers["authorization"].partition(" ")
        return Letta(
            base_url=str(self.http.base_url),
            api_key=password,
            default_headers={"user_id": self.user_id},
            max_retries=0,
        )

    def make(self, path: str, **body: Any) -> dict[str, Any]:
        return dict(self.http.post(path, json=body).raise_for_status().json())

    def agent(self, **given: Any) -> str:
        return str(self.make("/v1/agents/", **{**AGENT, **given})["id"])

    def send(self, agent_id: str, text: str) -> httpx.Response:
        return self.http.post(f"/v1/agents/{agent_id}/messages", json={"input": text})

    def stream(self, agent_id: str, text: str, **given: Any) -> list[dict[str, Any]]:
        """Return the JSON frames of a whole stream."""
        body = {"messages": [{"role": "user", "content": text}], **given}
        answer = self.http.post(f"/v1/agents/{agent_id}/messages/stream", json=body)
        return frames(answer.raise_for_status().text)


def frames(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


@pytest.fixture
def password(letta: Running) -> str:
    return letta.credentials["LETTA_API_KEY"]


@pytest.fixture
def server(letta: Running, password: str) -> Iterator[httpx.Client]:
    """The server as itself: with its password and no user."""
    headers = {"authorization": f"Bearer {password}"}
    with httpx.Client(base_url=letta.url, headers=headers) as client:
        yield client


@pytest.fixture
def tenant_of(
    letta: Running, server: httpx.Client, password: str
) -> Iterator[Callable[..., Tenant]]:
    opened: list[Tenant] = []

    def tenant_of(name: str, *, organization_id: str = "") -> Tenant:
        if not organization_id:
            organization_id = server.post("/v1/admin/orgs/", json={"name": name}).json()["id"]
        wish = {"name": name, "organization_id": organization_id}
        user_id = server.post("/v1/admin/users/", json=wish).json()["id"]
        headers = {"authorization": f"Bearer {password}", "user_id": user_id}
        http = httpx.Client(base_url=letta.url, headers=headers)
        http.post("/v1/tools/add-base-tools").raise_for_status()
        opened.append(Tenant(user_id, organization_id, http))
        return opened[-1]

    yield tenant_of
    for tenant in opened:
        tenant.http.close()
        if "sdk" in vars(tenant):
            tenant.sdk.close()


@pytest.fixture
def alice(tenant_of: Callable[..., Tenant]) -> Tenant:
    return tenant_of("alice")


@pytest.fixture
def bob(tenant_of: Callable[..., Tenant]) -> Tenant:
    return tenant_of("bob")
