from __future__ import annotations

from typing import TYPE_CHECKING

from tests.end_to_end.models import say

if TYPE_CHECKING:
    from letta_client import Letta
    from letta_client.types import AgentState


def test_keeps_two_conversations_with_one_agent_apart(
    alice_letta: Letta, agent: AgentState
) -> None:
    first = alice_letta.conversations.create(agent_id=agent.id)
    second = alice_letta.conversations.create(agent_id=agent.id)

    events = list(alice_letta.conversations.messages.create(first.id, messages=say("hi")))

    assert "assistant_message" in [event.message_type for event in events]
    said = alice_letta.conversations.messages.list(first.id).items
    assert "user_message" in [message.message_type for message in said]
    other = alice_letta.conversations.messages.list(second.id).items
    assert "user_message" not in [message.message_type for message in other]


def test_lists_retrieves_and_updates_a_conversation(alice_letta: Letta, agent: AgentState) -> None:
    conversation = alice_letta.conversations.create(agent_id=agent.id)

    alice_letta.conversations.update(conversation.id, summary="tea")

    found = alice_letta.conversations.list(agent_id=agent.id)
    assert [item.id for item in found] == [conversation.id]
    assert alice_letta.conversations.retrieve(conversation.id).summary == "tea"


def test_answers_a_conversation_in_one_piece(alice_letta: Letta, agent: AgentState) -> None:
    conversation = alice_letta.conversations.create(agent_id=agent.id)

    answer = alice_letta.post(
        f"/v1/conversations/{conversation.id}/messages",
        cast_to=object,
        body={"messages": say("hi"), "streaming": False},
    )

    assert isinstance(answer, dict)
    assert answer["messages"][-1]["content"] == "stub says: hi"
