"""Plays a turn: asks the model, runs tools, writes the thread, tells the readers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway_project.sandbox.letta import messages, model, model_errors, model_http, steps
from gateway_project.sandbox.letta.catalogue import BUILT_IN_ENDPOINT
from gateway_project.sandbox.letta.outside import is_loopback
from gateway_project.sandbox.letta.problems import DetailError, ModelError, ProblemError
from gateway_project.sandbox.letta.tool_runs import find_tool, run_tool
from gateway_project.sandbox.letta.turns import DONE, frame
from gateway_project.sandbox.letta.world import SERVER_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from gateway_project.sandbox.letta.model import Delta, Prompt
    from gateway_project.sandbox.letta.store import Row
    from gateway_project.sandbox.letta.turns import Turn
    from gateway_project.sandbox.letta.world import World

logger = logging.getLogger(__name__)

PENDING: Final = (
    "CONFLICT: Cannot send a new message: The agent is waiting for approval on a tool call. "
    "Please approve or deny the pending request before continuing."
)
_FAILED: Final = "An error occurred during agent execution."


async def play(world: World, turn: Turn) -> None:
    """Run a turn to its end, whatever happens to its readers."""
    turn.run["status"] = "running"
    turn.send_ping()
    try:
        refuse_while_pending(turn.agent, turn.conversation_id)
        await _converse(world, turn)
    except ProblemError as exc:
        _fail(turn, exc)
    except Exception:  # the outermost frame of a background task
        logger.exception("turn failed")
        _fail(turn, DetailError(500, "An unknown error occurred"))
    else:
        _complete(turn)
    finally:
        turn.log.close()
        turn.finished.set()


def refuse_while_pending(agent: Row, conversation_id: str | None) -> None:
    """Refuse a message to the agent's own thread while a tool call waits for approval.

    Raises:
        DetailError: 409.
    """
    if agent["pending_approval"] is None or conversation_id is not None:
        return
    raise DetailError(
        409,
        {
            "code": "PENDING_APPROVAL",
            "message": PENDING,
            "pending_request_id": agent["pending_approval"]["id"],
        },
    )


def thread(world: World, turn: Turn) -> list[Row]:
    """Return the messages that the model gets to see."""
    agent_id = turn.agent["id"]
    return [
        m
        for m in world.store.own_rows("messages", turn.actor)
        if m["_agent_id"] == agent_id
        and (m["_conversation_id"] == turn.conversation_id or m["message_type"] == "system_message")
    ]


async def _converse(world: World, turn: Turn) -> None:
    for _ in range(turn.max_steps):
        step = steps.begin(world.store, turn)
        try:
            goes_on = await _take_step(world, turn, step)
        except ProblemError:
            steps.finish(step, status="failed", stop_reason="llm_api_error")
            raise
        reason = "cancelled" if not turn.active else turn.stop_reason
        steps.finish(step, status="success", stop_reason=reason)
        if not goes_on or not turn.active:
            return
    turn.stop_reason = "max_steps"


async def _take_step(world: World, turn: Turn, step: Row) -> bool:
    """Ask the model once and do what it says. Return whether it has to be asked again."""
    said = messages.message("assistant_message", run_id=turn.run["id"], step_id=step["id"])
    text, name, arguments, call_id = "", "", "", ""
    prompt = _prompt(world, turn)
    turn.usage.step_count += 1
    turn.usage.detailed = not prompt.stream
    async for delta in _ask(world, turn, prompt):
        text += delta.text
        arguments += delta.arguments
        name = name or delta.call_name
        call_id = call_id or delta.call_id
        _stream(turn, said, delta, call_id)
        if delta.prompt_tokens:
            turn.usage.add(
                prompt_tokens=delta.prompt_tokens, completion_tokens=delta.completion_tokens
            )
            steps.count(step, delta)
    if not turn.active:
        return False
    if not name:
        if text:
            _say(world, turn, said | {"content": text})
        return False
    call = messages.tool_call(name, arguments, call_id)
    if needs_approval(world, turn.agent, name):
        _request_approval(world, turn, said | call)
        return False
    keep(world, turn, said | call | {"message_type": "tool_call_message"})
    if not turn.stream_tokens:
        turn.send(turn.produced[-1])
    await use_tool(world, turn, step["id"], call["tool_call"])
    return True


def _say(world: World, turn: Turn, said: Row) -> None:
    keep(world, turn, said)
    if not turn.stream_tokens:
        turn.send(said)


async def use_tool(world: World, turn: Turn, step_id: str | None, call: Row) -> None:
    """Run a tool and put what it returned into the thread."""
    result = await run_tool(world, turn, call["name"], call["arguments"])
    returned = messages.message(
        "tool_return_message",
        run_id=turn.run["id"],
        step_id=step_id,
        name=call["name"],
        **messages.tool_return(
            call["tool_call_id"], result.text, status=result.status, stderr=result.stderr
        ),
    )
    keep(world, turn, returned)
    turn.send(returned)


def keep(world: World, turn: Turn, row: Row, *, produced: bool = True) -> None:
    """Put a message into the thread, and into the answer when the agent produced it."""
    stored = row | {"_agent_id": turn.agent["id"], "_conversation_id": turn.conversation_id}
    world.store.add("messages", stored, turn.actor)
    if turn.conversation_id is None:
        turn.agent["message_ids"].append(row["id"])
    if produced:
        turn.produced.append(row)


def needs_approval(world: World, agent: Row, name: str) -> bool:
    """Tell whether a person has to allow this tool to this agent."""
    rules: Iterable[Row] = agent["tool_rules"] or []
    if any(r.get("type") == "requires_approval" and r.get("tool_name") == name for r in rules):
        return True
    tool = find_tool(world, agent, name)
    return bool(tool and tool["default_requires_approval"])


def _request_approval(world: World, turn: Turn, asked: Row) -> None:
    asked = asked | {"message_type": "approval_request_message", "otid": asked["id"]}
    turn.agent["pending_approval"] = asked
    turn.stop_reason = "requires_approval"
    keep(world, turn, asked)
    turn.send(asked)


def _stream(turn: Turn, said: Row, delta: Delta, call_id: str) -> None:
    if not turn.stream_tokens:
        return
    if delta.text:
        turn.send(said | {"content": delta.text})
    elif delta.call_name or delta.arguments:
        part = {"name": delta.call_name} if delta.call_name else {"arguments": delta.arguments}
        part["tool_call_id"] = call_id
        turn.send(
            said | {"message_type": "tool_call_message", "tool_call": part, "tool_calls": part}
        )


def _prompt(world: World, turn: Turn) -> Prompt:
    tools = (world.store.anyones("tools", tool_id) for tool_id in turn.agent["_tool_ids"])
    return model.Prompt(
        config=turn.agent["llm_config"],
        messages=messages.as_prompt(thread(world, turn)),
        tools=[{"type": "function", "function": tool["json_schema"]} for tool in tools if tool],
        user=turn.actor.id,
        stream=turn.stream_tokens,
    )


async def _ask(world: World, turn: Turn, prompt: Prompt) -> AsyncIterator[Delta]:
    """Yield the model's answer: the built-in one, the organization's own, or any that was named."""
    endpoint = prompt.config.get("model_endpoint") or BUILT_IN_ENDPOINT
    if endpoint == BUILT_IN_ENDPOINT:
        async for delta in model.answer(prompt, world.compose):
            yield delta
        return
    key = _provider_key(world, turn, prompt)
    if key is None:
        # As the real server: its own key goes to whatever endpoint a caller has put there.
        key = SERVER_KEY
        world.outside.note_fetch(endpoint, why="model_endpoint", actor=turn.actor, key="server")
        if not is_loopback(endpoint):
            raise model_errors.no_connection()
    async for delta in model_http.answer(world.outside.client, prompt, key=key):
        yield delta


def _provider_key(world: World, turn: Turn, prompt: Prompt) -> str | None:
    for provider in world.store.own_rows("providers", turn.actor):
        if (
            provider["name"] == prompt.config.get("provider_name")
            and provider["base_url"] == prompt.config["model_endpoint"]
        ):
            return str(provider["api_key_enc"])
    return None


def _complete(turn: Turn) -> None:
    if not turn.active:
        return
    turn.end("completed", stop_reason=turn.stop_reason)
    turn.send({"message_type": "stop_reason", "stop_reason": turn.stop_reason})
    turn.send(turn.usage.as_message())
    turn.log.append(DONE)


def _fail(turn: Turn, problem: ProblemError) -> None:
    if not turn.active:
        return
    turn.failure = problem
    kind, message, detail = "internal_error", _FAILED, str(problem.body.get("detail"))
    if isinstance(problem, ModelError):
        kind, message, detail = problem.kind, problem.message, problem.detail
    elif detail.startswith("{'code': 'PENDING_APPROVAL'"):
        message = detail = PENDING
    turn.end("failed", stop_reason="llm_api_error" if kind.startswith("llm") else "error")
    error = {
        "message_type": "error_message",
        "run_id": turn.run["id"],
        "error_type": kind,
        "message": message,
        "detail": detail,
        "seq_id": None,
    }
    turn.run["metadata"] = turn.run["metadata"] | {"error": error}
    turn.send({"message_type": "stop_reason", "stop_reason": turn.stop_reason})
    turn.log.append(b"event: error\n" + frame(error))
    if "CONTEXT_WINDOW_EXCEEDED" not in detail:  # as the real server: no [DONE] in this one case
        turn.log.append(DONE)
