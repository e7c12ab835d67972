"""Conversations: further lines of messages with one agent.

The id in the path may also be ``default``, with the agent in query or body, or an agent's id.
"""

from __future__ import annotations

from typing import Final

from django.conf import settings

from letta_proxy.catalogue import shapes
from letta_proxy.catalogue.agents import PAGE
from letta_proxy.catalogue.operation import LettaOperation, Listed, Use, not_offered, offered
from letta_proxy.models import Kind
from letta_proxy.policy.bodies import conversations, messages, runs

_ONE: Final = "/conversations/{conversation_id}"

OPERATIONS: Final[list[LettaOperation]] = [
    offered(
        "list_conversations",
        "GET /conversations/",
        query="agent_id limit after summary_search order order_by",
        listed=Listed(kind=Kind.AGENT, member="agent_id"),
    ),
    offered(
        "create_conversation",
        "POST /conversations/",
        query="agent_id",
        fields=conversations.CREATE,
        creates=shapes.NEW_CONVERSATION,
    ),
    offered("retrieve_conversation", f"GET {_ONE}"),
    offered("update_conversation", f"PATCH {_ONE}", fields=conversations.UPDATE),
    offered("delete_conversation", f"DELETE {_ONE}", deletes="conversation_id"),
    offered(
        "fork_conversation", f"POST {_ONE}/fork", query="agent_id", creates=shapes.NEW_CONVERSATION
    ),
    offered(
        "list_conversation_messages",
        f"GET {_ONE}/messages",
        query=f"{PAGE} agent_id include_err include_return_message_types",
    ),
    offered(
        "send_conversation_message",
        f"POST {_ONE}/messages",
        fields=messages.SEND_IN_CONVERSATION,
        use=Use.COST,
        streams=True,
        max_bytes=settings.MAX_LLM_BYTES,
    ),
    offered(
        "retrieve_conversation_stream",
        f"POST {_ONE}/stream",
        fields=runs.RESUME,
        use=Use.READ,
        streams=True,
    ),
    offered("cancel_conversation", f"POST {_ONE}/cancel", query="agent_id"),
    offered(
        "recompile_conversation",
        f"POST {_ONE}/recompile",
        query="dry_run",
        fields=conversations.COMPACT,
    ),
    offered(
        "compact_conversation", f"POST {_ONE}/compact", fields=conversations.COMPACT, use=Use.COST
    ),
    *not_offered(
        "It shows the whole prompt as it would go to the model.",
        f"POST {_ONE}/messages/preview-raw-payload",
    ),
]
