"""Sending messages to an agent and reading its thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway_project.sandbox.letta import agent_shape, agents, approvals, model, sending
from gateway_project.sandbox.letta.asking import ask
from gateway_project.sandbox.letta.calls import Call, Routes
from gateway_project.sandbox.letta.ids import is_id
from gateway_project.sandbox.letta.paging import page
from gateway_project.sandbox.letta.problems import DetailError
from gateway_project.sandbox.letta.replies import follow, result
from gateway_project.sandbox.letta.store import Row, public
from gateway_project.sandbox.letta.turns import ASYNC, PLAIN, STREAMING

if TYPE_CHECKING:
    from starlette.responses import Response

routes: Final = Routes()

_IMMUTABLE: Final = (
    "Message editing is no longer supported. Messages are immutable as they may be shared across "
    "multiple conversations via forking."
)
# What the real server makes of its own answer.
_NO_SUMMARY: Final = (
    "1 validation error for CompactionResponse\nsummary\n  Input should be a valid string "
    "[type=string_type, input_value=None, input_type=NoneType]\n"
    "    For further information visit https://errors.pydantic.dev/2.13/v/string_type"
)


@routes.add("GET", "/agents/{agent_id}/messages")
async def list_messages(call: Call) -> list[Row]:
    """Return the agent's messages, those of its conversations among them.

    ``order`` decides which end a ``limit`` leaves; the oldest of what is left comes first.
    """
    agent, wanted = call.own("agents", "agent_id"), call.query("conversation_id")
    rows = [
        public(m)
        for m in call.store.own_rows("messages", call.actor)
        if m["_agent_id"] == agent["id"] and wanted in {None, m["_conversation_id"] or "default"}
    ]
    for name in ("after", "before"):
        cursor = call.query(name)
        if cursor and call.store.anyones("messages", cursor) is None:
            text = f"No message found with id '{cursor}' for agent '{agent['id']}'."
            raise DetailError(404, text)
    among = call.store.anyones_rows("messages")
    kept = page(rows, call.request.query_params, limit=100, cursors="time", among=among)
    return kept if call.query("order") == "asc" else kept[::-1]


@routes.add("POST", "/agents/{agent_id}/messages")
async def send_message(call: Call) -> Response | Row:
    """Send and wait for the answer, or stream it when ``streaming`` is set by a new SDK."""
    given = await call.body()
    sending.check(given)
    if given.get("streaming"):
        if not call.from_sdk_v1:
            raise DetailError(422, "streaming=true is only supported for SDK v1.0+ clients.")
        return await _stream(call, given)
    agent = call.own("agents", "agent_id")
    if not _approves(given):
        approvals.refuse_while_pending(agent, None)
    turn = await sending.start(call.world, agent, call.actor, given, kind=PLAIN)
    return await result(turn)


@routes.add("POST", "/agents/{agent_id}/messages/stream")
async def stream_message(call: Call) -> Response:
    """Send and stream the answer."""
    given = await call.body()
    sending.check(given)
    return await _stream(call, given)


@routes.add("POST", "/agents/{agent_id}/messages/async")
async def send_message_async(call: Call) -> Row:
    """Send and return the run at once."""
    given = await call.body()
    sending.check(given)
    agent = call.own("agents", "agent_id")
    turn = await sending.start(call.world, agent, call.actor, given, kind=ASYNC)
    return public(turn.run) | {"status": "created"}


@routes.add("POST", "/agents/{agent_id}/messages/cancel")
async def cancel(call: Call) -> dict[str, str]:
    """Cancel the named runs, or the agent's last one.

    As the real server: the runs need not be this agent's, nor the agent the caller's; a foreign
    run is reported as failed and goes on.
    """
    given = await call.body()
    run_ids = given.get("run_ids") or last_run(call, call.path("agent_id"))
    return {run_id: cancel_run(call, run_id) for run_id in run_ids}


@routes.add("PATCH", "/agents/{agent_id}/reset-messages")
async def reset_messages(call: Call) -> Row | None:
    """Take the thread out of the model's sight; the messages stay."""
    agent = call.own("agents", "agent_id")
    agent["message_ids"] = agents.start_thread(call.store, agent, call.actor)
    agent["_pending"] = None
    return None if call.from_sdk_v1 else agent_shape.show(call.store, agent)


@routes.add("PATCH", "/agents/{agent_id}/messages/{message_id}")
async def update_message(call: Call) -> Row:
    """Refuse."""
    await call.body()
    raise DetailError(405, _IMMUTABLE)


@routes.add("POST", "/agents/{agent_id}/generate")
async def generate(call: Call) -> Row:
    """Ask the model outside of any thread."""
    given = await call.body(["prompt"])
    agent = call.own("agents", "agent_id")
    prompt = model.Prompt(
        config=agent["llm_config"],
        messages=[{"role": "user", "content": given["prompt"]}],
        tools=[],
        user=call.actor.id,
        stream=False,
    )
    text, tokens = "", 0
    async for delta in ask(call.world, call.actor, prompt):
        text += delta.text
        tokens += delta.prompt_tokens
    usage = {
        "message_type": "usage_statistics",
        "completion_tokens": 10,
        "prompt_tokens": tokens,
        "total_tokens": tokens + 10,
        "step_count": 0,
        "run_ids": None,
        "cached_input_tokens": None,
        "cache_write_tokens": None,
        "reasoning_tokens": None,
        "context_tokens": None,
    }
    return {"content": text, "model": agent["llm_config"]["model"], "usage": usage}


@routes.add("POST", "/agents/{agent_id}/summarize")
async def summarize(call: Call) -> Row:
    """Replace the thread by its system prompt; where that is all, fail as the real server does."""
    agent = call.own("agents", "agent_id")
    before = len(agent["message_ids"])
    if before == 1:
        raise DetailError(400, _NO_SUMMARY)
    agent["message_ids"] = agent["message_ids"][:1]
    return {"summary": "", "num_messages_before": before, "num_messages_after": 1}


@routes.add("POST", "/chat/completions")
async def chat_completions(call: Call) -> Response:
    """Stream an agent's answer in OpenAI's format; the agent's id stands in ``model``."""
    given = await call.body(["model", "messages"])
    if not given.get("stream"):
        text = "Non-streaming chat completions not yet implemented. Please set stream=true."
        raise DetailError(400, f"INVALID_ARGUMENT: {text}")
    if not is_id("agent", given["model"]):
        text = "For this endpoint, the 'model' field should contain an agent ID (format: "
        raise DetailError(
            400, f"INVALID_ARGUMENT: {text}'agent-...'). Received: '{given['model']}'"
        )
    agent = call.store.own("agents", given["model"], call.actor)
    sent = {"messages": given["messages"][-1:], "stream_tokens": True, "include_pings": False}
    turn = await sending.start(call.world, agent, call.actor, sent, kind=STREAMING, streaming=True)
    return follow(call.world, turn, openai_model=agent["llm_config"]["model"])


async def _stream(call: Call, given: dict[str, Any]) -> Response:
    agent = call.own("agents", "agent_id")
    turn = await sending.start(call.world, agent, call.actor, given, kind=STREAMING, streaming=True)
    return follow(call.world, turn)


def last_run(call: Call, agent_id: str) -> list[str]:
    """Return the id of an agent's last run, in a list. Nobody asks whose agent it is.

    Raises:
        DetailError: 409, it has had none.
    """
    last = call.world.turns.last_of_agent(agent_id)
    if last is None:
        raise DetailError(409, f"CONFLICT: No active runs to cancel for agent {agent_id}")
    return [last.run["id"]]


def cancel_run(call: Call, run_id: str) -> str:
    """Cancel a run of the actor's organization and return what became of it."""
    run = call.store.anyones("runs", run_id)
    if run is None or run["_org"] != call.actor.organization_id:
        return "failed"
    if turn := call.world.turns.get(run_id):
        turn.cancel()
    return "cancelled"


def _approves(given: dict[str, Any]) -> bool:
    return any(m.get("type") == "approval" for m in given.get("messages") or [])
