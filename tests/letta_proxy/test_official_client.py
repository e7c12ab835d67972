from __future__ import annotations

from typing import TYPE_CHECKING

import letta_client
import pytest
from letta_client import Letta

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunningSupabase


@pytest.fixture
def letta_for(gateway: str, supabase: RunningSupabase) -> Iterator[Callable[[str], Letta]]:
    clients: list[Letta] = []

    def sign_in(email: str) -> Letta:
        clients.append(
            Letta(base_url=f"{gateway}/api/v1/letta", api_key=supabase.token(email), max_retries=0)
        )
        return clients[-1]

    yield sign_in
    for client in clients:
        client.close()


def test_agent_lives_its_life(letta_for: Callable[[str], Letta]) -> None:
    alice = letta_for("alice@example.com")

    agent = alice.agents.create(
        name="Ada",
        model="openai-proxy/stub-chat",
        embedding="openai/text-embedding-3-small",
        memory_blocks=[{"label": "human", "value": "Alice"}],
    )
    assert [one.id for one in alice.agents.list()] == [agent.id]
    assert alice.agents.retrieve(agent.id).name == "Ada"
    assert alice.agents.update(agent.id, description="new").description == "new"
    answer = alice.agents.messages.create(agent.id, messages=[{"role": "user", "content": "hi"}])
    assert answer.messages[-1].content == "stub says: hi"
    stream = alice.agents.messages.create(
        agent.id, messages=[{"role": "user", "content": "hi"}], streaming=True, stream_tokens=True
    )
    assert [chunk.message_type for chunk in stream][-1] == "usage_statistics"
    alice.agents.delete(agent.id)
    with pytest.raises(letta_client.NotFoundError):
        alice.agents.retrieve(agent.id)


def test_users_do_not_see_each_other(letta_for: Callable[[str], Letta]) -> None:
    alice, bob = letta_for("alice@example.com"), letta_for("bob@example.com")
    agent = alice.agents.create(name="Ada", model="openai-proxy/stub-chat")

    assert list(bob.agents.list()) == []
    with pytest.raises(letta_client.NotFoundError):
        bob.agents.retrieve(agent.id)
