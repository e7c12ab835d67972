"""Conversations: separate threads of one agent.

``{conversation_id}`` may be ``conv-…``, an agent's id, or ``default`` with the agent named in the
body or query; the last two mean the agent's own thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.letta import agents, approvals, sending, shapes
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.ids import conversation_too_short, new_id
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import DetailError, missing
from gateway_project.sandbox.letta.replies import follow, result
from gateway_project.sandbox.letta.routes.agent_messages import cancel_run, last_run
from gateway_project.sandbox.letta.store import Row, public, touch
from gateway_project.sandbox.letta.turns import CONVERSATION, PLAIN, STREAMING

if TYPE_CHECKING:
    from starlette.responses import Response

routes: Final = Routes()

_NOT_COMPACTED: Final = (
    "Summarization failed to reduce the number of messages. You may not have enough messages to "
    "compact or need to use a different CompactionSettings (e.g. using `all` mode)."
)
_FIELDS: Final = ("summary", "model", "model_settings", "last_message_at")
_NOT_BACKGROUND: Final = (
    "INVALID_ARGUMENT: Run was not created in background mode, so it cannot be retrieved."
)


@routes.add("GET", "/conversations/")
async def list_conversations(call: Call) -> list[Row]:
    """Return the organization's conversations, of one agent if asked."""
    rows, agent_id = call.store.own_rows("conversations", call.actor), call.query("agent_id")
    kept = [public(row) for row in rows if agent_id in {None, row["agent_id"]}]
    return page(kept, call.request.query_params, cursors="after")


@routes.add("POST", "/conversations/")
async def create_conversation(call: Call) -> Row:
    """Begin a conversation."""
    given = await call.body()
    agent_id = call.query("agent_id")
    if agent_id is None:
        raise missing("query", "agent_id")
    return _written(_begin(call, _agent(call, agent_id), given))


@routes.add("GET", "/conversations/{conversation_id}")
async def get_conversation(call: Call) -> Row:
    """Return one conversation."""
    return public(_named(call))


@routes.add("PATCH", "/conversations/{conversation_id}")
async def update_conversation(call: Call) -> Row:
    """Change a conversation."""
    given = await call.body()
    row = touch(_named(call), call.actor)
    row |= {field: given[field] for field in _FIELDS if field in given}
    return _written(row)


@routes.add("DELETE", "/conversations/{conversation_id}")
async def delete_conversation(call: Call) -> None:
    """Delete a conversation and its messages."""
    row = _named(call)
    call.store.remove("conversations", row["id"])
    call.store.remove_where("messages", lambda m: m["_conversation_id"] == row["id"])


@routes.add("POST", "/conversations/{conversation_id}/fork")
async def fork(call: Call) -> Row:
    """Begin a conversation with a copy of another one's messages."""
    agent, origin = _target(call, {})
    begun = _begin(call, agent, {})
    for row in _messages(call, agent["id"], origin["id"] if origin else None):
        if row["message_type"] != "system_message":
            copied = row | {"id": new_id("message"), "_conversation_id": begun["id"]}
            call.store.add("messages", copied, call.actor)
            begun["in_context_message_ids"].append(copied["id"])
    return _written(begun)


@routes.add("GET", "/conversations/{conversation_id}/messages")
async def list_conversation_messages(call: Call) -> list[Row]:
    """Return a conversation's messages; of a foreign one none, with 200, as the real server."""
    name, agent_id = call.path("conversation_id"), call.query("agent_id")
    if name.startswith("conv-"):
        rows = _messages(call, None, name)
    else:
        agent_id = name if name != "default" else agent_id
        rows = _messages(call, _agent(call, agent_id)["id"], None) if agent_id else []
    kept = [public(row) for row in rows]
    return page(kept, call.request.query_params, limit=100, cursors="time")


@routes.add("POST", "/conversations/{conversation_id}/messages")
async def send_to_conversation(call: Call) -> Response | Row:
    """Send, and stream the answer unless ``streaming`` is false."""
    given = await call.body()
    sending.check(given)
    agent, conversation = _target(call, given)
    streaming = given.get("streaming", True)
    if streaming:
        _refuse_second_stream(call, conversation)
    else:
        approvals.refuse_while_pending(agent, conversation["id"] if conversation else None)
    turn = await sending.start(
        call.world,
        agent,
        call.actor,
        given,
        kind=CONVERSATION if conversation else STREAMING if streaming else PLAIN,
        streaming=streaming,
        conversation=conversation,
    )
    return follow(call.world, turn) if streaming else await result(turn)


@routes.add("POST", "/conversations/{conversation_id}/stream")
async def attach_stream(call: Call) -> Response:
    """Stream the conversation's background run again, while it is on its way."""
    given = await call.body()
    turns = [
        turn
        for turn in call.world.turns.of_conversation(call.path("conversation_id"))
        if turn.active and turn.actor.organization_id == call.actor.organization_id
    ]
    if not turns:
        raise DetailError(400, "INVALID_ARGUMENT: No active runs found for this conversation.")
    if not turns[0].background:
        raise DetailError(400, _NOT_BACKGROUND)
    return follow(call.world, turns[0], after=given.get("starting_after") or 0)


@routes.add("POST", "/conversations/{conversation_id}/cancel")
async def cancel_conversation(call: Call) -> dict[str, str]:
    """Cancel the conversation's runs, or the agent's last one."""
    agent, conversation = _target(call, {})
    if conversation is None:
        return {run_id: cancel_run(call, run_id) for run_id in last_run(call, agent["id"])}
    turns = call.world.turns.of_conversation(conversation["id"])
    active = [turn for turn in turns if turn.active and turn.recorded]
    if not active:
        text = f"No active runs to cancel for conversation {conversation['id']}"
        raise DetailError(409, f"CONFLICT: {text}")
    for turn in active:
        turn.cancel()
    return {turn.run["id"]: "cancelled" for turn in active}


@routes.add("POST", "/conversations/{conversation_id}/compact")
async def compact(call: Call) -> Row:
    """Refuse: there are never enough messages here to be worth it."""
    _target(call, await call.body())
    raise DetailError(400, _NOT_COMPACTED)


@routes.add("POST", "/conversations/{conversation_id}/recompile")
async def recompile_conversation(call: Call) -> str:
    """Return the system prompt."""
    agent, _ = _target(call, await call.body())
    return str(agent["system"])


def _begin(call: Call, agent: Row, given: dict[str, Any]) -> Row:
    row = shapes.conversation(agent["id"], given, call.actor)
    call.store.add("conversations", row, call.actor)
    row["in_context_message_ids"] = agents.start_thread(call.store, agent, call.actor, row["id"])
    return row


def _written(row: Row) -> Row:
    """Return a conversation as requests that write it show it: without its messages."""
    return public(row) | {"in_context_message_ids": []}


def _agent(call: Call, agent_id: str) -> Row:
    agent = call.store.anyones("agents", agent_id)
    if agent is None or agent["_org"] != call.actor.organization_id:
        raise DetailError(404, "Agent not found")
    return agent


def _named(call: Call) -> Row:
    """Return the conversation that is meant; the aliases mean none here."""
    if call.path("conversation_id") == "default":
        raise conversation_too_short("default")
    return call.own("conversations", "conversation_id")


def _target(call: Call, given: dict[str, Any]) -> tuple[Row, Row | None]:
    """Return the agent, and the conversation unless the agent's own thread is meant."""
    name = call.path("conversation_id")
    agent_id = given.get("agent_id") or call.query("agent_id")
    if name == "default" and agent_id:
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
