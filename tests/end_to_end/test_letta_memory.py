"""Blocks and archival memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import letta_client
import pytest

if TYPE_CHECKING:
    from letta_client import Letta
    from letta_client.types import AgentState


def test_attaches_a_block_and_changes_it(alice_letta: Letta, agent: AgentState) -> None:
    block = alice_letta.blocks.create(label="notes", value="one")

    alice_letta.agents.blocks.attach(block.id, agent_id=agent.id)
    labels = {found.label for found in alice_letta.agents.blocks.list(agent.id)}
    assert labels == {"human", "notes"}

    alice_letta.agents.blocks.update("notes", agent_id=agent.id, value="two")
    assert alice_letta.blocks.retrieve(block.id).value == "two"

    alice_letta.agents.blocks.detach(block.id, agent_id=agent.id)
    labels = {found.label for found in alice_letta.agents.blocks.list(agent.id)}
    assert labels == {"human"}


def test_lists_updates_and_deletes_a_block(alice_letta: Letta) -> None:
    block = alice_letta.blocks.create(label="notes", value="one")
    assert block.id in {found.id for found in alice_letta.blocks.list()}

    assert alice_letta.blocks.update(block.id, value="two").value == "two"

    alice_letta.blocks.delete(block.id)
    with pytest.raises(letta_client.NotFoundError):
        alice_letta.blocks.retrieve(block.id)


def test_creates_an_agent_with_a_block_that_is_there(alice_letta: Letta, agent: AgentState) -> None:
    block = alice_letta.blocks.create(label="shared", value="one")

    alice_letta.agents.update(agent.id, block_ids=[block.id])

    assert [found.id for found in alice_letta.agents.blocks.list(agent.id)] == [block.id]


def test_keeps_and_finds_and_forgets_passages(alice_letta: Letta, agent: AgentState) -> None:
    (passage,) = alice_letta.agents.passages.create(agent.id, text="the sky is blue")
    assert [found.text for found in alice_letta.agents.passages.list(agent.id)] == [
        "the sky is blue"
    ]

    search = alice_letta.agents.passages.search(agent.id, query="sky")
    assert [result.content for result in search.results] == ["the sky is blue"]

    assert passage.id is not None
    alice_letta.agents.passages.delete(passage.id, agent_id=agent.id)
    assert alice_letta.agents.passages.list(agent.id) == []
