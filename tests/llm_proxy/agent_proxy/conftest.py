from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest

from llm_proxy.agent_proxy.secrets import Claim, secret_of
from tests.conftest import RunningSupabase

MODEL = "stub-chat"


@dataclass(frozen=True)
class Agents:
    """The agents of one user, as Letta calls models for them."""

    gateway: httpx.Client
    user_id: UUID
    secret: str

    @property
    def base(self) -> str:
        return f"/api/v1/agents/{self.user_id}/proxy"

    def call(self, path: str = "/chat/completions", **members: Any) -> httpx.Response:
        """Call with the secret in the path, as for embeddings."""
        return self.gateway.post(f"{self.base}/{self.secret}{path}", json=chat(**members))

    def call_as_bearer(self, path: str = "/chat/completions", **members: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.secret}"}
        return self.gateway.post(f"{self.base}{path}", json=chat(**members), headers=headers)


def chat(**members: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **members}


@pytest.fixture
def agents_of(
    gateway: str, supabase: RunningSupabase, client_for: Callable[[str], httpx.Client]
) -> Iterator[Callable[[str], Agents]]:
    """Return the agents of somebody who has signed in once."""
    with httpx.Client(base_url=gateway) as client:

        def sign_in(email: str) -> Agents:
            assert client_for(email).get("/api/v1/me").status_code == 200
            claims = jwt.decode(supabase.token(email), options={"verify_signature": False})
            user_id = UUID(claims["sub"])
            return Agents(client, user_id, secret_of(Claim(user_id, 1)))

        yield sign_in


@pytest.fixture
def alice(agents_of: Callable[[str], Agents]) -> Agents:
    return agents_of("alice@example.com")


@pytest.fixture
def bob(agents_of: Callable[[str], Agents]) -> Agents:
    return agents_of("bob@example.com")
