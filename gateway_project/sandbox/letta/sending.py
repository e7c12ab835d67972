"""From a request that sends messages to a turn that is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway_core.tasks import spawn
from gateway_project.sandbox.letta import engine, messages
from gateway_project.sandbox.letta.ids import new_id, now
from gateway_project.sandbox.letta.problems import InvalidError, missing, not_a_list
from gateway_project.sandbox.letta.turns import Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_project.sandbox.letta.store import Actor, Row
    from gateway_project.sandbox.letta.world import World


def check(given: Mapping[str, Any]) -> None:
    """Refuse a body that sends nothing.

    Raises:
        InvalidError: neither ``messages`` nor ``input``, or not of their types.
    """
    sent = given.get("messages")
    if sent is None and given.get("input") is None:
        error = ValueError("Either 'messages' or 'input' must be provided")
        fault = {
            "type": "value_error",
            "loc": ("body",),
            "msg": f"Value error, {error}",
            "input": dict(given),
            "ctx": {"error": error},
        }
        raise InvalidError([fault])
    if sent is not None and not isinstance(sent, list):
        raise not_a_list("messages", sent)
    for i, message in enumerate(sent or []):
        if not _is_approval(message) and "content" not in message:
            raise missing("body", "messages", i, "MessageCreate", "content", given=message)


async def start(  # noqa: PLR0913 - each is one property of the turn
    world: World,
    agent: Row,
    actor: Actor,
    given: Mapping[str, Any],
    *,
    kind: str,
    conversation: Row | None = None,
    background: bool = False,
) -> Turn:
    """Begin a turn and return at once.

    Args:
        world: the stand-in.
        agent: the agent that is to answer.
        actor: who sends.
        given: the request's body, already checked.
        kind: the run's ``run_type``.
        conversation: the conversation it belongs to; none is the agent's own thread.
        background: whether readers may come back.
    """
    await _fetch_images(world, actor, given)
    streaming = kind == "send_message_streaming"
    turn = Turn(
        agent=agent,
        actor=actor,
        run=world.store.add("runs", _run(agent, given, kind, conversation, background), actor),
        conversation_id=conversation["id"] if conversation else None,
        streaming=streaming,
        stream_tokens=streaming and bool(given.get("stream_tokens")),
        include_pings=streaming and given.get("include_pings", True) is not False,
        max_steps=given.get("max_steps") or 50,
    )
    world.turns.add(turn)
    if conversation:
        conversation["last_message_at"] = now()
    await _accept(world, turn, given)
    spawn(_play(world, turn, given), name=turn.run["id"])
    return turn


async def _accept(world: World, turn: Turn, given: Mapping[str, Any]) -> None:
    """Put what was sent into the thread."""
    approvals = [m for m in given.get("messages") or [] if _is_approval(m)]
    if turn.agent["pending_approval"]:
        if approvals:
            await _decide(world, turn, approvals[0])
        return
    for content, role in _contents(given):
        kind = "system_message" if role == "system" else "user_message"
        row = messages.message(kind, run_id=turn.run["id"], step_id=None, content=content)
        engine.keep(world, turn, row, produced=False)


async def _decide(world: World, turn: Turn, approval: Row) -> None:
    """Run the tool that waited, or tell the model that it may not."""
    asked, turn.agent["pending_approval"] = turn.agent["pending_approval"], None
    decisions = approval.get("approvals") or [approval]
    if decisions[0].get("approve"):
        await engine.use_tool(world, turn, asked["step_id"], asked["tool_call"])
        return
    reason = decisions[0].get("reason") or "None given"
    text = f"Error: request to call tool denied. User reason: {reason}"
    returned = messages.message(
        "tool_return_message",
        run_id=turn.run["id"],
        step_id=asked["step_id"],
        name=asked["tool_call"]["name"],
        **messages.tool_return(
            asked["tool_call"]["tool_call_id"], text, status="error", stderr=[text]
        ),
    )
    engine.keep(world, turn, returned)
    turn.send(returned)


async def _play(world: World, turn: Turn, given: Mapping[str, Any]) -> None:
    await engine.play(world, turn)
    if url := given.get("callback_url"):
        # As the real server: any URL will do.
        payload = {"run_id": turn.run["id"], "status": turn.run["status"]}
        turn.run["callback_sent_at"] = now()
        turn.run["callback_status_code"] = await world.outside.fetch(
            "POST", url, why="callback_url", actor=turn.actor, payload=payload
        )


async def _fetch_images(world: World, actor: Actor, given: Mapping[str, Any]) -> None:
    """Fetch the images that a message names by URL, as the real server: from anywhere."""
    for content, _ in _contents(given):
        for part in content if isinstance(content, list) else []:
            image = part.get("source") or {}
            if image.get("type") == "url":
                await world.outside.fetch("GET", image["url"], why="image", actor=actor)


def _contents(given: Mapping[str, Any]) -> list[tuple[Any, str]]:
    if given.get("messages") is None:
        return [(given.get("input"), "user")]
    sent = [m for m in given["messages"] if not _is_approval(m)]
    return [(m["content"], m.get("role", "user")) for m in sent]


def _is_approval(message: Mapping[str, Any]) -> bool:
    return message.get("type") == "approval"


def _run(
    agent: Row,
    given: Mapping[str, Any],
    kind: str,
    conversation: Row | None,
    background: bool,  # noqa: FBT001 - private, and called once
) -> Row:
    metadata: Row = {"run_type": kind}
    if kind == "send_message_async":
        metadata["lettuce"] = None
    return {
        "id": new_id("run"),
        "status": "created",
        "created_at": now(),
        "completed_at": None,
        "agent_id": agent["id"],
        "conversation_id": conversation["id"] if conversation else None,
        "base_template_id": None,
        "background": background,
        "metadata": metadata,
        "request_config": {
            "use_assistant_message": True,
            "assistant_message_tool_name": "send_message",
            "assistant_message_tool_kwarg": "message",
            "include_return_message_types": given.get("include_return_message_types"),
        },
        "stop_reason": None,
        "callback_url": given.get("callback_url"),
        "callback_sent_at": None,
        "callback_status_code": None,
        "callback_error": None,
        "ttft_ns": None,
        "total_duration_ns": None,
    }
