"""Conversations: separate threads of one agent.

``{conversation_id}`` may be ``conv-…``, an agent's id, or ``default`` with the agent named in the
body or query; the last two mean the agent's own thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.letta import engine, sending, shapes
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.ids import new_id
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import DetailError, missing
from gateway_project.sandbox.letta.replies import follow, result
from gateway_project.sandbox.letta.store import Row, public, touch

if TYPE_CHECKING:
    from starlette.responses import Response

routes: Final = Routes()

_FIELDS: Final = ("summary", "model", "model_settings", "last_message_at")
_NOT_BACKGROUND: Final = (
    "INVALID_ARGUMENT: Run was not created in background mode, so it cannot be retrieved."
)


@routes.add("GET", "/conversations/")
async def list_conversations(call: Call) -> list[Row]:
    """Return the organization's conversations, of one agent if asked."""
    rows, agent_id = call.store.own_rows("conversations", call.actor), call.query("agent_id")
    kept = [public(row) for row in rows if agent_id in {None, row["agent_id"]}]
    return page(kept, call.request.query_params)


@routes.add("POST", "/conversations/")
async def create_conversation(call: Call) -> Row:
    """Begin a conversation."""
    given = await call.body()
    agent_id = call.query("agent_id")
    if agent_id is None:
        raise missing("query", "agent_id")
    agent = call.store.own("agents", agent_id, call.actor)
    row = shapes.conversation(agent["id"], given, call.actor)
    return public(call.store.add("conversations", row, call.actor))


@routes.add("GET", "/conversations/{conversation_id}")
async def get_conversation(call: Call) -> Row:
    """Return one conversation."""
    return public(call.own("conversations", "conversation_id"))


@routes.add("PATCH", "/conversations/{conversation_id}")
async def update_conversation(call: Call) -> Row:
    """Change a conversation."""
    given = await call.body()
    row = touch(call.own("conversations", "conversation_id"), call.actor)
    row |= {field: given[field] for field in _FIELDS if field in given}
    return public(row)


@routes.add("DELETE", "/conversations/{conversation_id}")
async def delete_conversation(call: Call) -> None:
    """Delete a conversation and its messages."""
    row = call.own("conversations", "conversation_id")
    call.store.remove("conversations", row["id"])
    call.store.remove_where("messages", lambda m: m["_conversation_id"] == row["id"])


@routes.add("POST", "/conversations/{conversation_id}/fork")
async def fork(call: Call) -> Row:
    """Begin a conversation with a copy of another one's messages."""
    agent, origin = _target(call, {})
    conversation = shapes.conversation(agent["id"], {}, call.actor)
    call.store.add("conversations", conversation, call.actor)
    for message in _messages(call, agent["id"], origin["id"] if origin else None):
        copied = message | {"id": new_id("message"), "_conversation_id": conversation["id"]}
        if message["message_type"] != "system_message":
            call.store.add("messages", copied, call.actor)
    return public(conversation)


@routes.add("GET", "/conversations/{conversation_id}/messages")
async def list_conversation_messages(call: Call) -> list[Row]:
    """Return a conversation's messages; of a foreign one none, with 200, as the real server."""
    name = call.path("conversation_id")
    agent_id = name if name.startswith("agent-") else call.query("agent_id")
    conversation_id = name if name.startswith("conv-") else None
    rows = [public(m) for m in _messages(call, agent_id, conversation_id)]
    return page(rows, call.request.query_params, limit=100)


@routes.add("POST", "/conversations/{conversation_id}/messages")
async def send_to_conversation(call: Call) -> Response | Row:
    """Send, and stream the answer unless ``streaming`` is false."""
    given = await call.body()
    sending.check(given)
    agent, conversation = _target(call, given)
    if given.get("streaming", True):
        _refuse_second_stream(call, conversation)
        turn = await sending.start(
            call.world,
            agent,
            call.actor,
            given,
            kind="send_message_streaming",
            conversation=conversation,
            background=bool(given.get("background")),
        )
        return follow(call.world, turn)
    engine.refuse_while_pending(agent, conversation["id"] if conversation else None)
    turn = await sending.start(
        call.world, agent, call.actor, given, kind="send_message", conversation=conversation
    )
    return await result(turn)


@routes.add("POST", "/conversations/{conversation_id}/stream")
async def attach_stream(call: Call) -> Response:
    """Stream the conversation's background run again."""
    given = await call.body()
    turns = [
        t
        for t in call.world.turns.of_conversation(call.path("conversation_id"))
        if t.actor.organization_id == call.actor.organization_id
    ]
    if not turns:
        raise DetailError(400, "INVALID_ARGUMENT: No active runs found for this conversation.")
    if not turns[0].background:
        raise DetailError(400, _NOT_BACKGROUND)
    return follow(call.world, turns[0], after=given.get("starting_after") or 0)


@routes.add("POST", "/conversations/{conversation_id}/cancel")
async def cancel_conversation(call: Call) -> dict[str, str]:
    """Cancel the conversation's runs."""
    _, conversation = _target(call, {})
    turns = call.world.turns.of_conversation(conversation["id"]) if conversation else []
    active = [turn for turn in turns if turn.active]
    if not active:
        raise DetailError(409, "CONFLICT: No active runs to cancel.")
    for turn in active:
        turn.cancel()
    return {turn.run["id"]: "cancelled" for turn in active}


@routes.add("POST", "/conversations/{conversation_id}/compact")
async def compact(call: Call) -> Row:
    """Report a compaction."""
    given = await call.body()
    agent, conversation = _target(call, given)
    rows = _messages(call, agent["id"], conversation["id"] if conversation else None)
    return {"summary": "", "num_messages_before": len(rows), "num_messages_after": len(rows)}


@routes.add("POST", "/conversations/{conversation_id}/recompile")
async def recompile_conversation(call: Call) -> str:
    """Return the system prompt."""
    agent, _ = _target(call, await call.body())
    return str(agent["system"])


def _target(call: Call, given: dict[str, Any]) -> tuple[Row, Row | None]:
    """Return the agent, and the conversation unless the agent's own thread is meant."""
    name = call.path("conversation_id")
    if name == "default":
        agent_id = given.get("agent_id") or call.query("agent_id")
        if not agent_id:
            text = "agent_id is required when conversation_id is 'default'"
            raise DetailError(400, f"INVALID_ARGUMENT: {text}")
        return call.store.own("agents", agent_id, call.actor), None
    if name.startswith("agent-"):
        return call.store.own("agents", name, call.actor), None
    conversation = call.own("conversations", "conversation_id")
    return call.store.own("agents", conversation["agent_id"], call.actor), conversation


def _messages(call: Call, agent_id: str | None, conversation_id: str | None) -> list[Row]:
    return [
        m
        for m in call.store.own_rows("messages", call.actor)
        if m["_conversation_id"] == conversation_id
        and (conversation_id is not None or m["_agent_id"] == agent_id)
    ]


def _refuse_second_stream(call: Call, conversation: Row | None) -> None:
    """Refuse while another stream of this conversation runs; others do not lock it."""
    turns = call.world.turns.of_conversation(conversation["id"]) if conversation else []
    busy = next((turn for turn in turns if turn.active and turn.streaming), None)
    if busy:
        text = (
            "CONFLICT: Cannot send a new message: Another request "
            f"(run_id={busy.run['id']}) is currently being processed for this conversation. "
            "Please wait for it to complete."
        )
        raise DetailError(409, text, run_id=busy.run["id"])
