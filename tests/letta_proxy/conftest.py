from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from letta_client import Letta

from tests.conftest import RunningSupabase

MODEL = "openai-proxy/stub-chat"
EMBEDDING = "openai/text-embedding-3-small"


@dataclass(frozen=True)
class Caller:
    """Somebody with a token, on the route to Letta."""

    client: httpx.Client

    def __call__(self, method: str, path: str, **parts: Any) -> httpx.Response:
        return self.client.request(method, f"/api/v1/letta/v1{path}", **parts)

    def raw(self, method: str, target: str, **parts: Any) -> httpx.Response:
        """Send a request target that nothing on this side has tidied."""
        return self.client.request(method, "/", extensions={"target": target.encode()}, **parts)

    def get(self, path: str) -> Any:
        return self("GET", path).raise_for_status().json()

    def post(self, path: str, **parts: Any) -> Any:
        return self("POST", path, **parts).raise_for_status().json()

    def create_agent(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "Ada", "model": MODEL, "embedding": EMBEDDING, **fields}
        return dict(self.post("/agents/", json=body))

    def say(self, agent_id: str, text: str = "hi") -> Any:
        return self.post(f"/agents/{agent_id}/messages", json={"input": text})


@pytest.fixture
def alice(client_for: Callable[[str], httpx.Client]) -> Caller:
    return Caller(client_for("alice@example.com"))


@pytest.fixture
def bob(client_for: Callable[[str], httpx.Client]) -> Caller:
    return Caller(client_for("bob@example.com"))


@pytest.fixture
def letta_for(gateway: str, supabase: RunningSupabase) -> Iterator[Callable[[str], Letta]]:
    clients: list[Letta] = []

    def sign_in(email: str) -> Letta:
        token = supabase.token(email)
        clients.append(Letta(base_url=f"{gateway}/api/v1/letta", api_key=token, max_retries=0))
        return clients[-1]

    yield sign_in
    for client in clients:
        client.close()


@dataclass(frozen=True)
class Belongings:
    """Ids of one of everything, by the names that parameters of paths have."""

    agent_id: str
    archive_id: str
    block_id: str
    conversation_id: str
    file_id: str
    folder_id: str
    memory_id: str
    message_id: str
    passage_id: str
    run_id: str
    step_id: str
    tool_id: str
    block_label: str = "human"
    tool_name: str = "memory_insert"

    @property
    def source_id(self) -> str:
        return self.folder_id

    def values(self) -> dict[str, str]:
        return {**self.__dict__, "source_id": self.source_id}


def belongings_of(caller: Caller) -> Belongings:
    agent = caller.create_agent(memory_blocks=[{"label": "human", "value": "secret"}])
    agent_id = agent["id"]
    message = caller.say(agent_id)["messages"][-1]
    passage = caller.post(f"/agents/{agent_id}/archival-memory", json={"text": "sky"})[0]
    folder = caller.post("/folders/", json={"name": "docs", "embedding": EMBEDDING})
    file = caller.post(
        f"/folders/{folder['id']}/upload", files={"file": ("a.txt", b"hello", "text/plain")}
    )
    conversation = caller.post(f"/conversations/?agent_id={agent_id}", json={})
    return Belongings(
        agent_id=agent_id,
        archive_id=passage["archive_id"],
        block_id=agent["blocks"][0]["id"],
        conversation_id=conversation["id"],
        file_id=file["id"],
        folder_id=folder["id"],
        memory_id=passage["id"],
        message_id=message["id"],
        passage_id=passage["id"],
        run_id=message["run_id"],
        step_id=message["step_id"],
        tool_id=agent["tools"][0]["id"],
    )


@pytest.fixture
def of_alice(alice: Caller) -> Belongings:
    return belongings_of(alice)


@pytest.fixture
def of_bob(bob: Caller) -> Belongings:
    return belongings_of(bob)
