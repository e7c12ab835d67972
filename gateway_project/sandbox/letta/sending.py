"""From a request that sends messages to a turn that is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway_core.tasks import spawn
from gateway_project.sandbox.letta import engine, messages, threads
from gateway_project.sandbox.letta.ids import new_id, now
from gateway_project.sandbox.letta.problems import (
    DetailError,
    missing,
    not_one_of,
    refused_value,
    wrong_type,
)
from gateway_project.sandbox.letta.turns import ASYNC, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_project.sandbox.letta.store import Actor, Row
    from gateway_project.sandbox.letta.world import World

_ROLES: Final = ("user", "system", "assistant")


def check(given: Mapping[str, Any]) -> None:
    """Refuse a body that sends nothing, or nothing that can be read.

    Raises:
        InvalidError: not exactly one of ``messages`` and ``input``, or not of their types.
        DetailError: 422, ``messages`` is empty.
    """
    sent = given.get("messages")
    if sent is None and given.get("input") is None:
        raise refused_value("Must specify either 'input' or 'messages'.", dict(given))
    if sent is None:
        return
    if given.get("input") is not None:
        text = "Cannot specify both 'input' and 'messages'. Use one or the other."
        raise refused_value(text, dict(given))
    if not isinstance(sent, list):
        raise wrong_type("list", "body", "messages", given=sent)
    if not sent:
        raise DetailError(422, "Messages must not be empty")
    for i, message in enumerate(sent):
        _check_message(i, message)


def _check_message(i: int, message: Mapping[str, Any]) -> None:
    if _is_approval(message):
        return
    for name in ("role", "content"):
        if name not in message:
            raise missing("body", "messages", i, "MessageCreate", name, given=dict(message))
    if message["role"] not in _ROLES:
        choices = "'user', 'system' or 'assistant'"
        raise not_one_of(choices, "body", "messages", i, "role", given=message["role"])


async def start(  # noqa: PLR0913 - each is one property of the turn
    world: World,
    agent: Row,
    actor: Actor,
    given: Mapping[str, Any],
    *,
    kind: str,
    streaming: bool = False,
    conversation: Row | None = None,
) -> Turn:
    """Begin a turn and return at once.

    Args:
        world: the stand-in.
        agent: the agent that is to answer.
        actor: who sends.
        given: the request's body, already checked.
        kind: the run's ``run_type``.
        streaming: whether the answer is read as it comes.
        conversation: the conversation it belongs to; none is the agent's own thread.
    """
    await _fetch_images(world, actor, given)
    run = _run(agent, given, kind=kind, conversation=conversation if streaming else None)
    run["background"] = kind == ASYNC or (streaming and bool(given.get("background")))
    turn = Turn(
        agent=agent,
        actor=actor,
        run=world.store.add("runs", run, actor),
        conversation_id=conversation["id"] if conversation else None,
        context_ids=conversation["in_context_message_ids"]
        if conversation
        else agent["message_ids"],
        streaming=streaming,
        stream_tokens=streaming and bool(given.get("stream_tokens")),
        include_pings=streaming and given.get("include_pings", True) is not False,
        max_steps=given.get("max_steps") or 50,
    )
    world.turns.add(turn)
    if conversation:
        conversation["last_message_at"] = now()
    _accept(world, turn, given)
    spawn(_play(world, turn, given), name=turn.run["id"])
    return turn


def _accept(world: World, turn: Turn, given: Mapping[str, Any]) -> None:
    """Put what was sent into the thread."""
    if turn.agent["_pending"] and turn.conversation_id is None:
        approvals = [m for m in given.get("messages") or [] if _is_approval(m)]
        turn.decision = approvals[0] if approvals else None
        return
    for content, role in _contents(given):
        kind = "system_message" if role == "system" else "user_message"
        row = messages.message(kind, run_id=turn.run["id"], step_id=None, content=content)
        threads.receive(world.store, turn, row)


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
    return [(m["content"], m["role"]) for m in sent]


def _is_approval(message: Mapping[str, Any]) -> bool:
    return message.get("type") == "approval"


def _run(agent: Row, given: Mapping[str, Any], *, kind: str, conversation: Row | None) -> Row:
    return {
        "id": new_id("run"),
        "status": "created",
        "created_at": now(),
        "completed_at": None,
        "agent_id": agent["id"],
        "conversation_id": conversation["id"] if conversation else None,
        "base_template_id": None,
        "background": False,
        "metadata": {"run_type": kind, **({"lettuce": None} if kind == ASYNC else {})},
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
