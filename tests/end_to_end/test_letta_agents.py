from __future__ import annotations

from typing import TYPE_CHECKING

import letta_client
import pytest

from tests.end_to_end.models import AGENT_EMBEDDING, AGENT_MODEL

if TYPE_CHECKING:
    from letta_client import Letta
    from letta_client.types import AgentState


def test_creates_retrieves_updates_and_deletes_an_agent(alice_letta: Letta) -> None:
    created = alice_letta.agents.create(
        name="helper",
        model=AGENT_MODEL,
        embedding=AGENT_EMBEDDING,
        memory_blocks=[{"label": "human", "value": "Name: Ann"}],
        tags=["blue"],
    )
    assert alice_letta.agents.retrieve(created.id).name == "helper"

    alice_letta.agents.update(created.id, name="helper-two", description="helps")
    updated = alice_letta.agents.retrieve(created.id, include=["agent.blocks"])
    assert (updated.name, updated.description) == ("helper-two", "helps")
    assert [block.value for block in updated.blocks] == ["Name: Ann"]

    alice_letta.agents.delete(created.id)
    with pytest.raises(letta_client.NotFoundError):
        alice_letta.agents.retrieve(created.id)


def test_lists_agents_over_several_pages(alice_letta: Letta, agent: AgentState) -> None:
    others = [
        alice_letta.agents.create(model=AGENT_MODEL, embedding=AGENT_EMBEDDING, tags=["paged"])
        for _ in range(3)
    ]
    try:
        paged = [found.id for found in alice_letta.agents.list(limit=2, tags=["paged"])]
        everything = {found.id for found in alice_letta.agents.list()}
    finally:
        for other in others:
            alice_letta.agents.delete(other.id)

    assert sorted(paged) == sorted(other.id for other in others)
    assert everything >= {agent.id, *paged}


def test_hides_what_only_the_server_may_know(alice_letta: Letta, agent: AgentState) -> None:
    text = alice_letta.agents.with_raw_response.retrieve(agent.id).text()

    assert "127.0.0.1" not in text
    assert "sk-stub" not in text


def test_lists_models_and_tools(alice_letta: Letta) -> None:
    handles = {model.handle for model in alice_letta.models.list()}
    embeddings = {model.handle for model in alice_letta.models.embeddings.list()}
    tools = {tool.name for tool in alice_letta.tools.list()}

    assert AGENT_MODEL in handles
    assert AGENT_EMBEDDING in embeddings
    assert tools >= {"conversation_search", "memory_insert", "memory_replace"}


def test_lists_the_tools_of_an_agent(alice_letta: Letta, agent: AgentState) -> None:
    tools = {tool.name for tool in alice_letta.agents.tools.list(agent.id)}

    assert tools >= {"conversation_search", "memory_insert"}
