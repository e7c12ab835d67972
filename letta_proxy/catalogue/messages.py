"""Sending messages and reading them."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings

from letta_proxy.catalogue import shapes
from letta_proxy.catalogue.agents import PAGE
from letta_proxy.catalogue.operation import LettaOperation, Use, not_offered, offered
from letta_proxy.policy.bodies import messages

_READ: Final = f"{PAGE} include_err include_return_message_types"
_ASSISTANT: Final = "use_assistant_message assistant_message_tool_name assistant_message_tool_kwarg"
# Images travel in messages.
_SEND: Final[dict[str, Any]] = {"use": Use.COST, "max_bytes": settings.MAX_LLM_BYTES}

OPERATIONS: Final[list[LettaOperation]] = [
    offered(
        "list_messages",
        "GET /agents/{agent_id}/messages",
        query=f"{_READ} conversation_id {_ASSISTANT}",
    ),
    offered(
        "send_message",
        "POST /agents/{agent_id}/messages",
        fields=messages.SEND,
        streams=True,
        **_SEND,
    ),
    offered(
        "create_agent_message_stream",
        "POST /agents/{agent_id}/messages/stream",
        fields=messages.SEND,
        streams=True,
        **_SEND,
    ),
    offered(
        "create_agent_message_async",
        "POST /agents/{agent_id}/messages/async",
        fields=messages.SEND_ASYNC,
        creates=shapes.NEW_RUN,
        answer=shapes.RUN,
        **_SEND,
    ),
    offered("cancel_message", "POST /agents/{agent_id}/messages/cancel", fields=messages.CANCEL),
    offered(
        "reset_messages",
        "PATCH /agents/{agent_id}/reset-messages",
        fields=messages.RESET,
        answer=shapes.AGENT,
    ),
    offered(
        "summarize_messages",
        "POST /agents/{agent_id}/summarize",
        fields=messages.SUMMARIZE,
        use=Use.COST,
    ),
    offered(
        "generate_completion",
        "POST /agents/{agent_id}/generate",
        fields=messages.GENERATE,
        use=Use.COST,
    ),
    offered(
        "create_chat_completion",
        "POST /chat/completions",
        fields=messages.CHAT_COMPLETION,
        streams=True,
        **_SEND,
    ),
    offered("retrieve_message", "GET /messages/{message_id}"),
    *not_offered(
        "Letta 0.16.8 answers it with 405: messages can't be changed.",
        "PATCH /agents/{agent_id}/messages/{message_id}",
    ),
    *not_offered(
        "It shows the whole prompt as it would go to the model.",
        "POST /agents/{agent_id}/messages/preview-raw-payload",
    ),
    *not_offered("It returns the messages of every organization (measured).", "GET /messages/"),
    *not_offered(
        "It searches the whole organization, and needs a search engine that is not installed.",
        "POST /messages/search",
    ),
    *not_offered(
        "Batches need a provider that is not configured.",
        "GET /messages/batches",
        "POST /messages/batches",
        "GET /messages/batches/{batch_id}",
        "PATCH /messages/batches/{batch_id}/cancel",
        "GET /messages/batches/{batch_id}/messages",
    ),
]
