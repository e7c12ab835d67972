"""An agent's messages: read as Letta's export has them, written by its import.

Letta's own import runs code that stands in a file and takes over addresses (measured). So no file
of anybody's is ever sent to it: the one that is holds an agent in the form of callers' bodies and
messages built anew from known members, and neither tools, servers nor endpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway_core.errors import GatewayError, UpstreamAnswerInvalid, UpstreamInterrupted
from letta_proxy.direct.agents import AGENTS, addressed, own_tags, path_of
from letta_proxy.direct.calls import call
from letta_proxy.direct.policing import admitted
from letta_proxy.policy.bodies import agents
from letta_proxy.policy.bounds import refuse_unwieldy
from letta_proxy.policy.content import Content
from letta_proxy.policy.demands import Demands
from letta_proxy.policy.rules import Anything, Each, Fields, Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

_ANY: Final = Anything()
_TEXT: Final = Text()
_MESSAGE: Final = Fields(
    fields={
        "role": _TEXT,
        "content": Content(),
        "name": _TEXT,
        "model": _TEXT,
        "tool_calls": _ANY,
        "tool_call_id": _TEXT,
        "tool_returns": Content(),
        "created_at": _TEXT,
        "approve": _ANY,
        "denial_reason": _TEXT,
        "approvals": Content(),
    }
)
_MESSAGES: Final = Each(_MESSAGE, most=10_000)
_SYSTEM: Final = "system"
# What only a creation takes; an import takes it as part of the agent.
_EMPTY_FILE: Final = ("groups", "blocks", "files", "sources", "tools", "mcp_servers", "skills")


def read_messages(*, user_id: UUID, agent_id: str) -> list[dict[str, Any]]:
    """Return the messages that an agent has in its context, without the system prompt.

    What has left the context by compaction is in its summary only.
    """
    file = call(user_id, "GET", f"{path_of(agent_id)}/export")
    agents = file.get("agents") if isinstance(file, dict) else None
    if not agents or not isinstance(agents[0], dict):
        raise UpstreamAnswerInvalid
    in_context = set(agents[0].get("in_context_message_ids") or ())
    return [
        {name: message[name] for name in _MESSAGE.fields if message.get(name) is not None}
        for message in agents[0].get("messages") or ()
        if message.get("id") in in_context and message.get("role") != _SYSTEM
    ]


def create_agent_with_messages(
    *,
    user_id: UUID,
    body: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    tag: str,
    secrets: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make an agent that has had these messages, and return it.

    Args:
        body: as for ``create_agent``.
        messages: as ``read_messages`` returns them.

    Raises:
        FieldForbidden, FieldInvalid: the body or a message may not or can't be so.
        GatewayError: as ``direct.calls.call`` says. An agent may have been made all the same.
    """
    payload = admitted(user_id, agents.CREATE, dict(body))
    thread = policed_messages(messages)
    model, embedding = payload.pop("model", None), payload.pop("embedding", None)
    settings = {name: payload.pop(name) for name in _AFTERWARDS if name in payload}
    system = {"role": _SYSTEM, "content": [{"type": "text", "text": payload.get("system") or ""}]}
    numbered = [{**one, "id": f"message-{i}"} for i, one in enumerate([system, *thread])]
    agent = {
        **payload,
        "id": "agent-0",
        "tags": own_tags(user_id, tag, payload.get("tags")),
        "secrets": dict(secrets or {}),
        "messages": numbered,
        "in_context_message_ids": [message["id"] for message in numbered],
    }
    made = call(user_id, "POST", f"{AGENTS}import", form=_form(agent, model, embedding))
    try:
        return _finished(user_id, _only_id(made), {"model": model, **settings})
    except GatewayError as exc:  # the agent is there by now
        raise UpstreamInterrupted(exc.detail) from exc


def _finished(user_id: UUID, agent_id: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    target = path_of(agent_id)
    if len(settings) > 1:
        call(user_id, "PATCH", target, payload=settings)
    # Until now the system prompt was not followed by the memory.
    call(user_id, "POST", f"{target}/recompile")
    return addressed(user_id, call(user_id, "GET", target))


def policed_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return messages built anew from what a message may have.

    Raises:
        FieldForbidden, FieldInvalid: one has what it may not.
    """
    refuse_unwieldy(list(messages))
    admitted_messages = _MESSAGES.admit(list(messages), "/messages", Demands())
    return [message for message in admitted_messages if message.get("role") != _SYSTEM]


# Letta's import makes these anew from the model (measured).
_AFTERWARDS: Final = ("model_settings", "context_window_limit")


def _form(agent: Mapping[str, Any], model: str | None, embedding: str | None) -> dict[str, Any]:
    file = {"agents": [agent], **{name: [] for name in _EMPTY_FILE}}
    fields = {
        "append_copy_suffix": "false",
        "override_existing_tools": "false",
        **({"model": model} if model else {}),
        **({"embedding": embedding} if embedding else {}),
    }
    form: dict[str, Any] = {name: (None, value, "text/plain") for name, value in fields.items()}
    return {"file": ("agent.af", orjson.dumps(file), "application/json"), **form}


def _only_id(made: Any) -> str:
    ids = made.get("agent_ids") if isinstance(made, dict) else None
    if not isinstance(ids, list) or len(ids) != 1 or not isinstance(ids[0], str):
        raise UpstreamAnswerInvalid
    return ids[0]
